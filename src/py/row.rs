//! `Row`, and `dict_row`: rows that are read by column name.

use super::cursor::Cursor;
use super::names::wrong_argument;
use super::slots::Object;
use super::state::Stdlib;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyIterator, PyList, PySlice, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

/// A tuple-like row that is also read by column name, without case.
#[pyclass(frozen, subclass, sequence, name = "Row", module = "sqlite3")]
pub struct Row {
    data: Py<PyTuple>,
    /// The cursor's description: a tuple of tuples, or None.
    description: Py<PyAny>,
}

impl Row {
    /// A row of a cursor's current result.
    #[inline]
    pub fn of<'py>(
        py: Python<'py>,
        cursor: &Cursor,
        data: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Row>> {
        // SAFETY: a live object.
        let tracked = unsafe { ffi::PyObject_GC_IsTracked(data.as_ptr()) != 0 };
        let row = Row {
            data: data.unbind(),
            description: description_of(py, cursor),
        };
        let row = Bound::new(py, row)?;
        if !tracked {
            // A row of atomic values can't be part of a cycle either.
            // SAFETY: a live, complete object.
            unsafe { ffi::PyObject_GC_UnTrack(row.as_ptr().cast()) };
        }
        Ok(row)
    }

    /// The position of a column. Names are compared without case, beyond ASCII exactly.
    fn position(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Option<usize>> {
        let Ok(description) = self.description.bind(py).cast::<PyTuple>() else {
            return Ok(None);
        };
        // With a surrogate it is no column's name.
        let Ok(wanted) = name.to_str() else {
            return Ok(None);
        };
        for (index, column) in description.iter_borrowed().enumerate() {
            let column = name_of(&column)?;
            if same_name(wanted, column.cast::<PyString>()?.to_str()?) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The item at an int index, or by the very name object of a column. None if it takes the method proper.
    ///
    /// # Safety
    /// `key` is a living object.
    #[inline]
    pub unsafe fn plain_item(&self, py: Python<'_>, key: Object) -> Option<Object> {
        let data = self.data.bind(py);
        // SAFETY: checks and accessors on living objects of the checked types; the index is in range.
        unsafe {
            let index = if ffi::PyLong_CheckExact(key) != 0 {
                let mut overflow = 0;
                let index = ffi::PyLong_AsLongAndOverflow(key, &mut overflow);
                if overflow != 0 || index < 0 {
                    return None;
                }
                index as usize
            } else {
                let description = self.description.bind(py).cast_exact::<PyTuple>().ok()?;
                let length = match ffi::PyUnicode_CheckExact(key) {
                    0 => return None,
                    _ => ffi::PyUnicode_GET_LENGTH(key),
                };
                let mut found = None;
                for (index, column) in description.iter_borrowed().enumerate() {
                    let name = name_of(&column).ok()?;
                    if name.as_ptr() == key {
                        // A literal in the caller's code is interned, and so are our column names.
                        found = Some(index);
                        break;
                    }
                    // It may be the same without case, and then it comes first.
                    let other = ffi::PyUnicode_CheckExact(name.as_ptr()) != 0
                        && ffi::PyUnicode_GET_LENGTH(name.as_ptr()) != length;
                    if !other {
                        return None;
                    }
                }
                found?
            };
            if index >= data.len() {
                return None;
            }
            Some(ffi::Py_NewRef(ffi::PyTuple_GET_ITEM(
                data.as_ptr(),
                index as ffi::Py_ssize_t,
            )))
        }
    }
}

fn same_name(left: &str, right: &str) -> bool {
    left == right || (left.is_ascii() && right.is_ascii() && left.eq_ignore_ascii_case(right))
}

/// The first item of a description's 7-tuple.
fn name_of<'py>(column: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    column.cast::<PyTuple>()?.get_item(0)
}

fn description_of(py: Python<'_>, cursor: &Cursor) -> Py<PyAny> {
    match cursor.description_ref(py) {
        Some(description) => description.into_any(),
        None => py.None(),
    }
}

#[pymethods]
impl Row {
    /// See `Stdlib::class_of`.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyType> {
        let py = slf.py();
        let ours = [py.get_type::<Self>()];
        Stdlib::class_of(slf.as_any(), &ours, |stdlib| &stdlib.row)
    }

    #[new]
    #[pyo3(signature = (*args, **kwargs))]
    fn __new__(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let py = args.py();
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(PyTypeError::new_err("Row() takes no keyword arguments"));
        }
        if args.len() != 2 {
            let given = args.len();
            return Err(PyTypeError::new_err(format!(
                "Row expected 2 arguments, got {given}"
            )));
        }
        let (cursor, data) = (args.get_item(0)?, args.get_item(1)?);
        let Ok(cursor) = cursor.cast::<Cursor>() else {
            return Err(wrong_argument(
                &cursor,
                "Row() argument 1",
                "sqlite3.Cursor",
            ));
        };
        let Ok(data) = data.cast::<PyTuple>() else {
            return Err(wrong_argument(&data, "Row() argument 2", "tuple"));
        };
        Ok(Self {
            data: data.clone().unbind(),
            description: description_of(py, cursor.get()),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.data)?;
        visit.call(&self.description)
    }

    /// Returns the keys of the row.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let keys = PyList::empty(py);
        if let Ok(description) = self.description.bind(py).cast::<PyTuple>() {
            for column in description.iter_borrowed() {
                keys.append(name_of(&column)?)?;
            }
        }
        Ok(keys)
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.bind(py).len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.data.bind(py).try_iter()
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = self.data.bind(py);
        if key.is_instance_of::<PyInt>() {
            return item(py, data, key);
        }
        if let Ok(name) = key.cast::<PyString>() {
            return match self.position(py, name)? {
                Some(index) => data.get_item(index),
                None => Err(PyIndexError::new_err("No item with that key")),
            };
        }
        if key.is_instance_of::<PySlice>() {
            return data.as_any().get_item(key);
        }
        Err(PyIndexError::new_err("Index must be int or string"))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        Ok(self.description.bind(py).hash()? ^ self.data.bind(py).hash()?)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operation: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let equality = matches!(operation, CompareOp::Eq | CompareOp::Ne);
        let Ok(other) = other.cast::<Row>() else {
            return Ok(py.NotImplemented());
        };
        if !equality {
            return Ok(py.NotImplemented());
        }
        let other = other.get();
        if self.description.bind(py).eq(other.description.bind(py))? {
            let data = self.data.bind(py).as_any();
            return Ok(data.rich_compare(other.data.bind(py), operation)?.unbind());
        }
        let unequal = matches!(operation, CompareOp::Ne);
        Ok(unequal.into_pyobject(py)?.to_owned().into_any().unbind())
    }
}

/// An item by an int index, negative ones from the end.
fn item<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyTuple>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: live objects; -1 with an exception set is looked at.
    let mut index = unsafe { ffi::PyNumber_AsSsize_t(key.as_ptr(), ffi::PyExc_IndexError) };
    if index == -1 && PyErr::occurred(py) {
        return Err(PyErr::fetch(py));
    }
    if index < 0 {
        index += data.len() as isize;
    }
    match usize::try_from(index) {
        Ok(index) if index < data.len() => data.get_item(index),
        _ => Err(PyIndexError::new_err("tuple index out of range")),
    }
}

static DICT_ROW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Remember the function object, so that setting it as a row factory is recognised.
pub fn register_dict_row(function: &Bound<'_, PyAny>) {
    let py = function.py();
    DICT_ROW.get_or_init(py, || function.clone().unbind());
}

/// Whether a row factory is our `dict_row`.
pub fn is_dict_row(factory: &Bound<'_, PyAny>) -> bool {
    let known = DICT_ROW.get(factory.py());
    known.is_some_and(|function| function.is(factory))
}

/// The dict of a row; the last of several columns with one name wins.
#[inline]
pub fn dict_of<'py>(
    py: Python<'py>,
    cursor: &Cursor,
    row: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let Some(description) = cursor.description_ref(py) else {
        return Ok(dict);
    };
    let description = description.bind(py);
    for (column, value) in description.iter_borrowed().zip(row.iter_borrowed()) {
        // SAFETY: a description's items are 7-tuples with the name first, built by us.
        let code = unsafe {
            let name = ffi::PyTuple_GET_ITEM(column.as_ptr(), 0);
            ffi::PyDict_SetItem(dict.as_ptr(), name, value.as_ptr())
        };
        if code < 0 {
            return Err(PyErr::fetch(py));
        }
    }
    Ok(dict)
}

/// A row factory that makes a dict of each row, keyed by column name.
#[pyfunction]
#[pyo3(signature = (cursor, row, /))]
pub fn dict_row<'py>(
    cursor: &Bound<'py, PyAny>,
    row: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = cursor.py();
    if let Ok(cursor) = cursor.cast::<Cursor>() {
        return dict_of(py, cursor.get(), row);
    }
    let dict = PyDict::new(py);
    let description = cursor.getattr("description")?;
    for (column, value) in description.try_iter()?.zip(row.iter()) {
        dict.set_item(column?.get_item(0)?, value)?;
    }
    Ok(dict)
}
