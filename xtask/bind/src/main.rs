//! `wasm-bind workerd|nodejs|web IN.wasm FOLDER NAME`: writes `NAME.js` and `NAME_bg.wasm`, ready to load.
//!
//! It links wasm-bindgen's generator as a library, so its version is held by `Cargo.lock` beside `wasm-bindgen` itself
//! and nothing has to be installed. It is a program of its own, not a part of xtask, so that its 49 crates compile
//! beside the wasm that it will read instead of before it.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
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
        "web" => bindgen.web(true)?.remove_name_section(true).omit_default_module_path(true),
        other => bail!("`{other}` is none of workerd, nodejs and web"),
    };
    bindgen.input_path(input).out_name(name).typescript(false);
    if host == "web" {
        return small(&mut bindgen, folder, name);
    }
    bindgen.generate(folder)?;
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

/// Writes the modules as a browser loads them: without what is for people or for nobody, and with short names for what the
/// wasm imports, each of which stands in both of them.
fn small(bindgen: &mut Bindgen, folder: &Path, name: &str) -> anyhow::Result<()> {
    let mut made = bindgen.generate_output()?;
    let has_snippets = made.snippets().values().any(|files| !files.is_empty()) || !made.local_modules().is_empty();
    ensure!(!has_snippets, "there is JavaScript that would not be written");
    let mut glue = glue(made.js())?;
    let module = format!("\"./{name}_bg.js\"");
    for (number, import) in made.wasm_mut().imports.iter_mut().enumerate() {
        ensure!(format!("\"{}\"", import.module) == module, "`{}` is imported from `{}`", import.name, import.module);
        let short = format!("i{number}");
        replace_one(&mut glue, &format!("\n{}: ", import.name), &format!("\n{short}: "))?;
        (import.module, import.name) = ("i".to_owned(), short);
    }
    replace_one(&mut glue, &format!("{module}: "), "\"i\": ")?;
    std::fs::write(folder.join(format!("{name}.js")), glue)?;
    std::fs::write(folder.join(format!("{name}_bg.wasm")), made.wasm_mut().emit_wasm())?;
    Ok(())
}

/// Loads the wasm. wasm-bindgen's own loader also takes what is no address, or is served as something else.
const LOADER: &str = "\
export default async function init(address) {
const { instance, module } = await WebAssembly.instantiateStreaming(fetch(address), __wbg_get_imports());
return __wbg_finalize_init(instance, module);
}
";

/// The glue without comments and indents, and with a loader that does what is needed.
fn glue(text: &str) -> anyhow::Result<String> {
    let mut glue = String::with_capacity(text.len());
    let mut is_comment = false;
    for line in text.lines().map(str::trim) {
        // A text of several lines would not survive this.
        ensure!(line.matches('`').count() % 2 == 0, "a text in the glue has several lines: `{line}`");
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            glue.push_str(line);
            glue.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    let begins = glue.find("async function __wbg_load(").context("the glue has no `__wbg_load`")?;
    glue.replace_range(begins.., LOADER);
    Ok(glue)
}

/// Replaces what stands there exactly once.
fn replace_one(text: &mut String, from: &str, to: &str) -> anyhow::Result<()> {
    let found: Vec<usize> = text.match_indices(from).map(|(at, _)| at).collect();
    let [at] = found.as_slice() else {
        bail!("`{from}` is {} times in the glue: did wasm-bindgen change its output?", found.len());
    };
    text.replace_range(*at..at + from.len(), to);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "/**\n * Starts.\n */\nfunction start() {\n    wasm.start(); // now\n\n    // A word.\n}\n\
        async function __wbg_load(module) {\n    return 1;\n}\n\nexport { initSync, __wbg_init as default };\n";

    #[test]
    fn the_glue_loses_what_is_for_people_and_gets_one_loader() {
        let glue = glue(MADE).expect("glue");
        assert_eq!(glue, format!("function start() {{\nwasm.start(); // now\n}}\n{LOADER}"));
    }

    #[test]
    fn a_text_of_several_lines_is_not_pressed_into_one() {
        for made in [format!("const text = `a\n    b`;\n{MADE}"), "function start() {}\n".to_owned()] {
            assert!(glue(&made).is_err(), "{made}");
        }
    }

    #[test]
    fn a_name_that_does_not_stand_there_once_is_no_name_to_shorten() {
        let mut text = "a: 1\nb: 2\nb: 3\n".to_owned();
        replace_one(&mut text, "a: ", "i0: ").expect("it stands there once");
        assert_eq!(text, "i0: 1\nb: 2\nb: 3\n");
        for name in ["b: ", "c: "] {
            assert!(replace_one(&mut text, name, "i1: ").is_err(), "{name}");
        }
    }
}
