//! Native code and wasm are the same edge: what every other test here proves of one holds for the other, which is
//! deployed. `cargo xtask build sim` makes the wasm, `cargo xtask test` installs its Node.

#![allow(clippy::print_stdout, reason = "the figures are what people run this for")]
#![allow(clippy::disallowed_methods, reason = "how long it took is told, and nothing depends on it")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use slipway_sim::{fingerprint, swarm};
use slipway_stack::Places;

const SEEDS: u64 = 200;
/// Of worlds that last for days: each is as long as a dozen others.
const SEEDS_OF_DAYS: u64 = 12;

#[test]
fn two_hundred_seeds_have_the_same_traces_natively_and_as_wasm_under_node() {
    let places = Places::of_this_clone().expect("tests run in a clone");
    let (node, program) = match (places.test_node(), places.simulation()) {
        (Ok(node), Ok(program)) => (node, program),
        (Err(why), _) | (_, Err(why)) => {
            println!("SKIPPED: {why:#}");
            return;
        }
    };
    for (first, count) in [(1, SEEDS), (swarm::OF_DAYS, SEEDS_OF_DAYS)] {
        compare(&node, &program, first, count);
    }
}

fn compare(node: &Path, program: &Path, first: u64, count: u64) {
    let began = Instant::now();
    let arguments = [first.to_string(), count.to_string()];
    let mut command = Command::new(node);
    let output = command.arg(program).args(arguments).output().expect("Node from npm starts");
    let took = began.elapsed();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let wasm = String::from_utf8(output.stdout).expect("plain text");
    let wasm: Vec<&str> = wasm.lines().collect();

    let began = Instant::now();
    let native: Vec<String> = (first..first + count).map(fingerprint::of).collect();
    println!("natively {:.1} s, under Node {:.1} s", began.elapsed().as_secs_f32(), took.as_secs_f32());
    assert_eq!(wasm.len(), native.len(), "as many seeds were run in both");
    let differ: Vec<(&str, &str)> =
        native.iter().map(String::as_str).zip(wasm).filter(|(native, wasm)| native != wasm).collect();
    assert!(
        differ.is_empty(),
        "{} seeds differ, natively and as wasm (if the code has changed since: cargo xtask build sim): {:?}",
        differ.len(),
        differ.iter().take(5).collect::<Vec<_>>()
    );
    println!("same code: {count} seeds from {first} on, equal traces");
}
