//! Making str objects of SQLite's UTF-8, without the detours of a general decoder.

use pyo3::ffi;

/// Up to so many bytes three passes over the text are quicker than CPython's decoder; beyond, its loops win.
const SHORT: usize = 192;

/// Make a str of UTF-8. NULL with an exception set when the bytes are not UTF-8 or memory ran out.
///
/// # Safety
/// The interpreter lock is held.
#[inline]
pub unsafe fn str_object(text: &[u8]) -> *mut ffi::PyObject {
    // CPython shares the objects of single characters, so these are its own business.
    if text.len() > 1 {
        if text.is_ascii() {
            // SAFETY: as the caller promises.
            return unsafe { ascii_object(text) };
        }
        if text.len() <= SHORT
            && let Ok(text) = std::str::from_utf8(text)
        {
            // SAFETY: as the caller promises.
            return unsafe { wide_object(text) };
        }
    }
    // SAFETY: the interpreter lock is held; any bytes are allowed.
    unsafe {
        let length = text.len() as ffi::Py_ssize_t;
        ffi::PyUnicode_DecodeUTF8(text.as_ptr().cast(), length, std::ptr::null())
    }
}

/// # Safety
/// The interpreter lock is held and the text is ASCII.
#[inline]
unsafe fn ascii_object(text: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: a fresh, compact ASCII object has room for the bytes and its terminator.
    unsafe {
        let object = ffi::PyUnicode_New(text.len() as ffi::Py_ssize_t, 0x7f);
        if !object.is_null() {
            let data = ffi::PyUnicode_DATA(object).cast::<u8>();
            std::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        }
        object
    }
}

/// The greatest code point a str object of each width must be asked for.
const LATIN_1: u32 = 0xff;
const TWO_BYTES: u32 = 0xffff;
const FOUR_BYTES: u32 = 0x10_ffff;

/// Make a str that has characters beyond ASCII, in the narrowest form, which CPython insists on.
///
/// # Safety
/// The interpreter lock is held.
unsafe fn wide_object(text: &str) -> *mut ffi::PyObject {
    let bytes = text.as_bytes();
    // Every byte but 10xxxxxx begins a character; the greatest first byte tells the widest character.
    let length = bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
    let widest = bytes.iter().copied().max().unwrap_or(0);
    let greatest = match widest {
        0xf0.. => FOUR_BYTES,
        0xc4.. => TWO_BYTES,
        _ => LATIN_1,
    };
    // SAFETY: a fresh object has room for `length` characters of the width that `greatest` asks for.
    unsafe {
        let object = ffi::PyUnicode_New(length as ffi::Py_ssize_t, greatest);
        if object.is_null() {
            return object;
        }
        let data = ffi::PyUnicode_DATA(object);
        match greatest {
            LATIN_1 => fill(data.cast::<u8>(), text, |c| c as u8),
            TWO_BYTES => fill(data.cast::<u16>(), text, |c| c as u16),
            _ => fill(data.cast::<u32>(), text, |c| c),
        }
        object
    }
}

/// # Safety
/// `data` has room for every character of the text.
#[inline]
unsafe fn fill<T>(mut data: *mut T, text: &str, narrow: impl Fn(u32) -> T) {
    for character in text.chars() {
        // SAFETY: as the caller promises.
        unsafe {
            data.write(narrow(character as u32));
            data = data.add(1);
        }
    }
}
