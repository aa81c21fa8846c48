//! Hands pyo3's `Py_3_12`-like cfg flags to this crate (behaviour follows the running Python's version), and has the
//! linker lay SQLite's busiest functions side by side.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

/// Names of functions, one a line.
const HOT_FUNCTIONS: &str = "src/hot_functions.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
    println!("cargo:rerun-if-changed={HOT_FUNCTIONS}");
    if env::var("PROFILE")? == "release" {
        lay_side_by_side()?;
    }
    Ok(())
}

/// Where the linker puts functions would else be chance, and they are spread over a megabyte: the processor's caches
/// of code and addresses are too small for that (a tenth of a look-up's time). lld can do it, other linkers can't.
fn lay_side_by_side() -> Result<(), Box<dyn Error>> {
    let list = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(HOT_FUNCTIONS);
    let order = format!("--symbol-ordering-file={}", list.display());
    let arguments = ["-Xlinker", &order, "-Xlinker", "--no-warn-symbol-ordering"];
    if links_with(&arguments)? {
        for argument in arguments {
            println!("cargo:rustc-link-arg-cdylib={argument}");
        }
    }
    Ok(())
}

/// Whether the linker that this crate is built with knows these arguments.
fn links_with(arguments: &[&str]) -> Result<bool, Box<dyn Error>> {
    let folder = env::var("OUT_DIR")?;
    let source = Path::new(&folder).join("probe.rs");
    fs::write(&source, "")?;
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc
        .args(["--crate-type=cdylib", "--target", &env::var("TARGET")?])
        .args(["--out-dir", &folder]);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS")?;
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    for argument in arguments {
        rustc.arg(format!("-Clink-arg={argument}"));
    }
    let status = rustc.arg(&source).stderr(Stdio::null()).status()?;
    Ok(status.success())
}
