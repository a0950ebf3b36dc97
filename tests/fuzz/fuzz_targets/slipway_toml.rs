//! `slipway.toml`: what is accepted is consistent, and what is refused is explained.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_core::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        Ok(config) => {
            for route in &config.routes {
                assert!(config.places.contains_key(&route.staging.place), "a route leads to places that there are");
                assert!(config.places.contains_key(&route.public.place), "a route leads to places that there are");
                assert!(route.staging != route.public, "what is staged is not public");
            }
            for project in &config.projects {
                let by_id = config.project(&project.id.to_string()).map(|found| found.id);
                let by_name = config.project(project.name.as_str()).map(|found| found.id);
                assert_eq!((by_id, by_name), (Some(project.id), Some(project.id)));
            }
        }
        Err(error) => assert!(error.to_string().len() > "slipway.toml cannot be used: ".len()),
    }
});
