//! A webhook's body: whatever is read of it is what it says, and no other JSON reader would see another job in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_gitlab::webhook::Event;

fuzz_target!(|body: &[u8]| {
    if let Ok(Event::Job(job)) = Event::parse(body) {
        let said: Value = serde_json::from_slice(body).expect("an event is JSON");
        assert_eq!(said["build_id"].as_u64(), Some(job.job_id));
        assert_eq!(said["project_id"].as_u64(), Some(job.project_id));
        assert_eq!(said["build_name"].as_str(), Some(job.name.as_str()));
    }
});
