//! What is read out of texts that anybody may write: SQL, URIs, URLs. Nothing panics.

#![no_main]

use dbmanager::core::pool::uri;
use dbmanager::core::session::url::DatabaseUrl;
use dbmanager::core::text::{self, Effect, effect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = uri::file(data);
    let _ = uri::may_share_cache(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let keyword = text::leading_keyword(text);
    let _ = Effect::of(text, keyword);
    let _ = effect::can_be_undone(text);
    let _ = effect::wants_alone(text);
    let _ = effect::optimizes(text);
    let _ = effect::asks_journal_mode(text);
    let _ = text::is_end_of_script(text);
    let _ = text::may_be_one_long_operation(text);
    if let Ok(url) = DatabaseUrl::parse(text, || Ok("/".into())) {
        let _ = url.asked().settings();
    }
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let _ = text::limits_a_change(text, at);
    }
});
