//! The cron trigger. Alarms drive everything; this only wakes the records and the accounts, in case an alarm was lost.

use worker::{Env, ScheduleContext, ScheduledEvent, event};

use crate::{message, settings};

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Err(error) = wake(&env).await {
        crate::log::trouble!("waking the records: {error}");
    }
}

async fn wake(env: &Env) -> worker::Result<()> {
    let config = settings::config()?;
    for place in config.places.keys() {
        let wake = message::ToAccount::Wake { place: place.clone() };
        if let Err(error) = message::tell(&message::account(env, place)?, &wake).await {
            crate::log::trouble!("waking the account of {place}: {error}");
        }
    }
    for project in &config.projects {
        let wake = message::ToProject::Wake { project_id: project.id };
        if let Err(error) = message::tell(&message::project(env, project.id)?, &wake).await {
            crate::log::trouble!(of project.id, "waking the record: {error}");
        }
    }
    Ok(())
}
