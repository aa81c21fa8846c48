//! `Blob`: incremental reading and writing of one value, like a file and like a bytearray.

use super::buffer::View;
use super::connection::{Connection, Locked};
use super::error::{core_exception, programming_error};
use super::guarded::Guarded;
use super::interpreter::Stretch;
use super::names::type_name;
use super::settings::CInt;
use super::state::Stdlib;
use crate::core::raw::{LockGuard, blob};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::slice::PySliceIndices;
use pyo3::types::{PyBytes, PyDict, PyInt, PySlice, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use std::ffi::c_int;
use std::mem::MaybeUninit;

/// An open BLOB.
#[pyclass(frozen, weakref, mapping, name = "Blob", module = "sqlite3")]
pub struct Blob {
    connection: Py<Connection>,
    blob: Guarded<BlobCell>,
    offset: Guarded<c_int>,
}

/// The raw handle; shared by reference only, under the interpreter lock.
struct BlobCell(blob::Blob);

impl Blob {
    pub fn new(connection: Py<Connection>, blob: blob::Blob) -> Self {
        Self {
            connection,
            blob: Guarded::new(BlobCell(blob)),
            offset: Guarded::new(0),
        }
    }

    fn raw<'a>(&'a self, py: Python<'a>) -> &'a blob::Blob {
        // SAFETY: the cell is never replaced, and its handle is a `Cell` used under the database's lock.
        unsafe { &self.blob.peek(py).0 }
    }

    /// The lock, if blob and connection are open.
    fn check<'a>(&'a self, py: Python<'a>) -> PyResult<Locked<'a>> {
        let connection = self.connection.bind(py).get();
        connection.check_open(py)?;
        connection.check_thread(py)?;
        if !self.raw(py).is_open() {
            return Err(programming_error(py, "Cannot operate on a closed blob."));
        }
        connection.lock(py)
    }

    fn read_at(&self, py: Python<'_>, length: usize, offset: c_int) -> PyResult<Vec<u8>> {
        let mut buffer = Vec::new();
        buffer
            .try_reserve_exact(length)
            .map_err(|_| PyMemoryError::new_err(()))?;
        self.fill(py, &mut buffer.spare_capacity_mut()[..length], offset)?;
        // SAFETY: so many bytes were written.
        unsafe { buffer.set_len(length) };
        Ok(buffer)
    }

    /// Read straight into a bytes object.
    fn bytes_at<'py>(
        &self,
        py: Python<'py>,
        length: usize,
        offset: c_int,
    ) -> PyResult<Bound<'py, PyBytes>> {
        // SAFETY: an object of that length without contents, which nobody else sees before it has some.
        unsafe {
            let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length as ffi::Py_ssize_t);
            let bytes = Bound::from_owned_ptr_or_err(py, bytes)?;
            let start = ffi::PyBytes_AsString(bytes.as_ptr()).cast::<MaybeUninit<u8>>();
            let buffer = std::slice::from_raw_parts_mut(start, length);
            self.fill(py, buffer, offset)?;
            Ok(bytes.cast_into_unchecked())
        }
    }

    fn fill(&self, py: Python<'_>, buffer: &mut [MaybeUninit<u8>], offset: c_int) -> PyResult<()> {
        let guard = self.check(py)?;
        let blob = self.raw(py);
        let stretch = stretch(py, &guard, buffer.len());
        let outcome = blob.read(&guard, buffer, offset);
        drop(stretch);
        outcome.map_err(|error| core_exception(py, error))
    }

    fn write_at(&self, py: Python<'_>, data: &[u8], offset: c_int) -> PyResult<()> {
        let guard = self.check(py)?;
        let blob = self.raw(py);
        let stretch = stretch(py, &guard, data.len());
        let outcome = blob.write(&guard, data, offset);
        drop(stretch);
        outcome.map_err(|error| core_exception(py, error))
    }

    /// Size in bytes; 0 once its row was changed behind it.
    fn length(&self, py: Python<'_>) -> PyResult<c_int> {
        let guard = self.check(py)?;
        Ok(self.raw(py).length(&guard))
    }

    fn index(&self, key: &Bound<'_, PyAny>) -> PyResult<c_int> {
        let py = key.py();
        let length = self.length(py)?;
        // SAFETY: live objects; -1 with an exception set is looked at.
        let mut index = unsafe { ffi::PyNumber_AsSsize_t(key.as_ptr(), ffi::PyExc_IndexError) };
        if index == -1 && PyErr::occurred(py) {
            return Err(PyErr::fetch(py));
        }
        if index < 0 {
            index += length as isize;
        }
        if index < 0 || index >= length as isize {
            return Err(PyIndexError::new_err("Blob index out of range"));
        }
        Ok(index as c_int)
    }

    fn slice(&self, slice: &Bound<'_, PySlice>) -> PyResult<PySliceIndices> {
        slice.indices(self.length(slice.py())? as isize)
    }
}

/// More bytes than this are copied without the interpreter.
const LONG: usize = 64 * 1024;

/// For the reading or writing of so many bytes.
fn stretch<'a>(py: Python<'_>, guard: &LockGuard<'a>, length: usize) -> Stretch<'a> {
    match length > LONG {
        true => Stretch::detached_for_others(py, guard.database()),
        false => Stretch::attached(py, guard.database()),
    }
}

/// First byte and length of what a slice spans, whatever its direction.
fn span(slice: &PySliceIndices) -> (isize, usize) {
    let last = slice.start + (slice.slicelength as isize - 1) * slice.step;
    let first = slice.start.min(last);
    (first, slice.start.abs_diff(last) + 1)
}

fn is_index(key: &Bound<'_, PyAny>) -> bool {
    // SAFETY: any object may be asked.
    unsafe { ffi::PyIndex_Check(key.as_ptr()) != 0 }
}

#[pymethods]
impl Blob {
    /// See `Stdlib::class_of`.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyType> {
        let py = slf.py();
        let ours = [py.get_type::<Self>()];
        Stdlib::class_of(slf.as_any(), &ours, |stdlib| &stdlib.blob)
    }

    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Err(PyTypeError::new_err(
            "cannot create 'sqlite3.Blob' instances",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)
    }

    /// Close the blob.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.raw(py).is_inherited() {
            return Ok(());
        }
        let connection = self.connection.bind(py).get();
        connection.check_open(py)?;
        connection.check_thread(py)?;
        let guard = connection.lock(py)?;
        self.raw(py).close(&guard);
        Ok(())
    }

    /// Read data at the current offset position.
    ///
    /// If the end of the blob is reached, the data up to end of file will be returned. When length is not
    /// specified, or is negative, Blob.read() will read until the end of the blob.
    #[pyo3(signature = (length=CInt(-1), /), text_signature = "($self, length=-1, /)")]
    fn read<'py>(&self, py: Python<'py>, length: CInt) -> PyResult<Bound<'py, PyBytes>> {
        let offset = self.offset.get(py);
        let rest = self.length(py)? - offset;
        let length = if length.0 < 0 {
            rest
        } else {
            length.0.min(rest)
        };
        if length == 0 {
            return Ok(PyBytes::new(py, &[]));
        }
        let data = self.bytes_at(py, length as usize, offset)?;
        self.offset.set(py, offset + length);
        Ok(data)
    }

    /// Write data at the current offset.
    ///
    /// This function cannot change the blob length. Writing beyond the end of the blob will result in an
    /// exception being raised.
    #[pyo3(signature = (data, /))]
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let view = View::get(data)?;
        let offset = self.offset.get(py);
        let data = view.bytes();
        if data.len() as isize > (self.length(py)? - offset) as isize {
            return Err(PyValueError::new_err("data longer than blob length"));
        }
        self.write_at(py, data, offset)?;
        self.offset.set(py, offset + data.len() as c_int);
        Ok(())
    }

    /// Set the current access position to offset.
    ///
    /// The origin argument defaults to os.SEEK_SET (absolute blob positioning). Other values for origin are
    /// os.SEEK_CUR (seek relative to the current position) and os.SEEK_END (seek relative to the blob's end).
    #[pyo3(signature = (offset, origin=CInt(0), /), text_signature = "($self, offset, origin=0, /)")]
    fn seek(&self, py: Python<'_>, offset: CInt, origin: CInt) -> PyResult<()> {
        let length = self.length(py)?;
        let (offset, origin) = (offset.0, origin.0);
        let base = match origin {
            0 => 0,
            1 => self.offset.get(py),
            2 => length,
            _ => {
                return Err(PyValueError::new_err(
                    "'origin' should be os.SEEK_SET, os.SEEK_CUR, or os.SEEK_END",
                ));
            }
        };
        let Some(target) = base.checked_add(offset) else {
            return Err(PyOverflowError::new_err("seek offset results in overflow"));
        };
        if !(0..=length).contains(&target) {
            return Err(PyValueError::new_err("offset out of blob range"));
        }
        self.offset.set(py, target);
        Ok(())
    }

    /// Return the current access position for the blob.
    fn tell(&self, py: Python<'_>) -> PyResult<c_int> {
        drop(self.check(py)?);
        Ok(self.offset.get(py))
    }

    /// Blob context manager enter.
    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        drop(slf.get().check(slf.py())?);
        Ok(slf)
    }

    /// Blob context manager exit.
    #[pyo3(signature = (r#type, val, tb, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        val: &Bound<'_, PyAny>,
        tb: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let _ = (r#type, val, tb);
        if self.raw(py).is_inherited() {
            return Ok(false);
        }
        let guard = self.check(py)?;
        self.raw(py).close(&guard);
        Ok(false)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.length(py)? as usize)
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        drop(self.check(py)?);
        if is_index(key) {
            let index = self.index(key)?;
            let byte = self.read_at(py, 1, index)?[0];
            return Ok(byte.into_pyobject(py)?.into_any());
        }
        let Ok(slice) = key.cast::<PySlice>() else {
            return Err(PyTypeError::new_err("Blob indices must be integers"));
        };
        let slice = self.slice(slice)?;
        if slice.slicelength == 0 {
            // Nothing to read, but a blob that has expired says so.
            self.read_at(py, 0, 0)?;
            return Ok(PyBytes::new(py, &[]).into_any());
        }
        let (first, length) = span(&slice);
        if slice.step == 1 {
            return Ok(self.bytes_at(py, length, first as c_int)?.into_any());
        }
        let data = self.read_at(py, length, first as c_int)?;
        let picked: Vec<u8> = (0..slice.slicelength as isize)
            .map(|k| data[(slice.start + k * slice.step - first) as usize])
            .collect();
        Ok(PyBytes::new(py, &picked).into_any())
    }

    fn __setitem__(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        drop(self.check(py)?);
        if is_index(key) {
            if !value.is_instance_of::<PyInt>() {
                return Err(PyTypeError::new_err(format!(
                    "'{}' object cannot be interpreted as an integer",
                    type_name(value)
                )));
            }
            let index = self.index(key)?;
            return self.write_at(py, &[byte_of(value)?], index);
        }
        let Ok(slice) = key.cast::<PySlice>() else {
            return Err(PyTypeError::new_err("Blob indices must be integers"));
        };
        let slice = self.slice(slice)?;
        if slice.slicelength == 0 {
            // Like the stdlib, without a look at the value.
            return Ok(());
        }
        let view = View::get(value)?;
        let value = view.bytes();
        if value.len() != slice.slicelength {
            return Err(PyIndexError::new_err("Blob slice assignment is wrong size"));
        }
        let (first, length) = span(&slice);
        if slice.step == 1 {
            return self.write_at(py, value, first as c_int);
        }
        let mut data = self.read_at(py, length, first as c_int)?;
        for (k, byte) in value.iter().enumerate() {
            data[(slice.start + k as isize * slice.step - first) as usize] = *byte;
        }
        self.write_at(py, &data, first as c_int)
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        drop(self.check(py)?);
        let message = if is_index(key) {
            "Blob doesn't support item deletion"
        } else if key.is_instance_of::<PySlice>() {
            "Blob doesn't support slice deletion"
        } else {
            "Blob indices must be integers"
        };
        Err(PyTypeError::new_err(message))
    }
}

/// The value of a single byte.
fn byte_of(value: &Bound<'_, PyAny>) -> PyResult<u8> {
    value
        .extract()
        .map_err(|_| PyValueError::new_err("byte must be in range(0, 256)"))
}
