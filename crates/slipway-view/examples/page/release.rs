//! The pages of those releases.

use slipway_core::api::Release;
use slipway_view::filter::Filter;
use slipway_view::page::{self, Act, Beside, Reader};
use slipway_view::section;

use crate::Fixture;
use crate::data::{board, calm, events, judged, patch_day, release, sources};

pub(super) fn fixtures(query: &str) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let empty = Release { packages: Vec::new(), pipelines: Vec::new(), ..judged(release("1.2.0-empty", &[]))? };
    let board = judged(board())?;
    let may = [Act::Hold, Act::Lift, Act::Extend, Act::Close];
    let manager = Reader { name: Some("mira"), may: &may, ..reader };
    let filter = Filter::from_query(query);
    let board = Fixture {
        name: "board".to_owned(),
        path: section::path(&board) + &filter.query(),
        html: page::release(&board, &Beside { activity: &events()?, sources: &sources()? }, &filter, &manager),
        release: Some(board),
    };
    Ok(vec![
        board,
        Fixture::of("list", judged(patch_day())?, "v=list", &reader),
        Fixture::of("release", judged(patch_day())?, query, &reader),
        Fixture::of("filtered", judged(patch_day())?, "state=failed,missing", &reader),
        Fixture::of("calm", judged(calm())?, query, &reader),
        Fixture::of("empty", empty, query, &reader),
    ])
}
