//! `wasm-bind workerd|nodejs|web IN.wasm FOLDER NAME`: writes `NAME.js` and `NAME_bg.wasm`, ready to load.
//!
//! It links wasm-bindgen's generator as a library, so its version is held by `Cargo.lock` beside `wasm-bindgen` itself
//! and nothing has to be installed. It is a program of its own, not a part of xtask, so that its 49 crates compile
//! beside the wasm that it will read instead of before it.

use std::path::Path;

use anyhow::{Context as _, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, input, folder, name] = arguments.as_slice() else {
        bail!("usage: wasm-bind workerd|nodejs|web IN.wasm FOLDER NAME");
    };
    bind(host, Path::new(input), Path::new(folder), name)
        .with_context(|| format!("cannot make the modules of `{input}` for {host}"))
}

fn bind(host: &str, input: &Path, folder: &Path, name: &str) -> anyhow::Result<()> {
    let mut bindgen = Bindgen::new();
    match host {
        // After a panic the shim calls the reset function, and the next request gets a fresh instance.
        "workerd" => bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true),
        "nodejs" => bindgen.nodejs_module(true)?,
        // A browser downloads it, and function names are a fifth of its size.
        "web" => bindgen.web(true)?.remove_name_section(true),
        other => bail!("`{other}` is none of workerd, nodejs and web"),
    };
    bindgen.input_path(input).out_name(name).typescript(false).generate(folder)?;
    if host == "workerd" {
        // In workerd the plain import of a wasm file already is a `WebAssembly.Module`.
        let glue = folder.join(format!("{name}.js"));
        let text = std::fs::read_to_string(&glue)?;
        let plain = text.replacen("import source ", "import ", 1);
        if plain == text {
            bail!("`{}` has no source phase import: did wasm-bindgen change its output?", glue.display());
        }
        std::fs::write(&glue, plain)?;
    }
    Ok(())
}
