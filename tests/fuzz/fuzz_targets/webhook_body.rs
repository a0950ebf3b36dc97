//! A webhook's body: whatever is read of it is what it says, and no other JSON reader would see another job in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_gitlab::webhook::Event;

fuzz_target!(|body: &[u8]| {
    if let Ok(Event::Job(job)) = Event::parse(body) {
        // What nobody needs is passed over unread: bytes that are no text there lose no webhook.
        let Ok(said) = serde_json::from_slice::<Value>(body) else { return };
        assert_eq!(said["build_id"].as_u64(), Some(job.job_id));
        assert_eq!(said["project_id"].as_u64(), Some(job.project_id));
        assert_eq!(said["build_name"].as_str(), Some(job.name.as_str()));
    }
});
