//! Facts and switches of the linked SQLite library as a whole.

use crate::core::vfs;
use rusqlite::ffi;
use std::collections::HashSet;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

/// The version of the linked library, for example `3.53.2`.
pub fn version() -> &'static str {
    rusqlite::version()
}

/// `SQLITE_THREADSAFE` as compiled: 0, 1 or 2.
pub fn threadsafe() -> c_int {
    // SAFETY: no arguments, a constant.
    unsafe { ffi::sqlite3_threadsafe() }
}

/// Whether a text ends in a complete statement (`sqlite3_complete`).
pub fn is_complete(sql: &CStr) -> bool {
    // SAFETY: a NUL-terminated text; nothing is kept.
    unsafe { ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}

/// The deprecated process-wide switch for shared-cache mode.
pub fn enable_shared_cache(enable: bool) -> bool {
    // SAFETY: a flag of the library.
    unsafe { ffi::sqlite3_enable_shared_cache(c_int::from(enable)) == ffi::SQLITE_OK }
}

/// Whether SQLite knows a pragma, by its name in small letters. It ignores others without a word.
pub fn has_pragma(name: &str) -> bool {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        vfs::install();
        let list = || -> rusqlite::Result<HashSet<String>> {
            let connection = rusqlite::Connection::open_in_memory()?;
            let mut names = connection.prepare("PRAGMA pragma_list")?;
            names.query_map((), |row| row.get(0))?.collect()
        };
        list().unwrap_or_default()
    });
    // Without memory for the list nothing is known.
    names.is_empty() || names.contains(name)
}

/// Every compile-time option of the linked library, without the `SQLITE_` prefix.
pub fn compile_options() -> Vec<String> {
    let mut options = Vec::new();
    for index in 0.. {
        // SAFETY: any index is allowed; NULL ends the list, the strings are static.
        let option = unsafe { ffi::sqlite3_compileoption_get(index) };
        if option.is_null() {
            break;
        }
        // SAFETY: see above.
        let text = unsafe { CStr::from_ptr(option) };
        options.push(text.to_string_lossy().into_owned());
    }
    options
}

/// What the crate relies on, with what goes wrong without it. `.cargo/config.toml` sets these.
const RELIED_ON: [(&str, &str); 8] = [
    ("THREADSAFE=2", "connections lock themselves"),
    ("ENABLE_MATH_FUNCTIONS", "SQL math functions"),
    ("ENABLE_FTS4", "full-text search version 4"),
    ("ENABLE_FTS5", "full-text search version 5"),
    ("ENABLE_RTREE", "R-Tree tables"),
    ("ENABLE_DBSTAT_VTAB", "the dbstat table"),
    ("ENABLE_COLUMN_METADATA", "column metadata"),
    (
        "MAX_VARIABLE_NUMBER=250000",
        "250,000 variables in a statement",
    ),
];

/// The relied-on options that this build lacks, as `(option, what it gives)`.
pub fn missing_options() -> Vec<(&'static str, &'static str)> {
    let present = compile_options();
    RELIED_ON
        .into_iter()
        .filter(|(option, _)| !present.iter().any(|have| have == option))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_was_built_with_what_we_rely_on() {
        assert_eq!(missing_options(), []);
    }

    #[test]
    fn pragmas_are_known_by_name() {
        assert!(has_pragma("journal_mode") && has_pragma("mmap_size"));
        assert!(!has_pragma("jornal_mode"));
    }

    #[test]
    fn options_that_cost_speed_are_off() {
        let options = compile_options();
        for option in ["ENABLE_API_ARMOR", "ENABLE_MEMORY_MANAGEMENT"] {
            assert!(!options.iter().any(|have| have == option), "{option}");
        }
        assert!(options.iter().any(|have| have == "DEFAULT_MEMSTATUS=0"));
    }
}
