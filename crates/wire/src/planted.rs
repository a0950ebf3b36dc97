//! Bugs that can be planted, so that the simulation can prove that it would catch them.
//!
//! Without the feature `planted` every question here is a constant `false`, and the compiler leaves nothing of it. The
//! code beside a question is the mistake that somebody could make there. Two are mistakes that only a host can make, so the
//! simulation, which is one, makes them itself: they prove that it would notice, and say nothing of the Worker.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// Staged bytes are published whatever the list says of their digest.
    PublishesWhateverIsStaged,
    /// The relay compares lengths alone.
    RelayTrustsLength,
    /// An act is begun without a look before it.
    ActsBeforeItLooks,
    /// What the public repository has is called released before its index serves it.
    ReleasedWithoutIndex,
    /// An index whose parts do not belong together is taken for one that serves the file.
    TrustsAnIndexInMotion,
    /// A transfer slot is lent however many are out.
    LendsWithoutCounting,
    /// Those who wait at an account are called in the wrong order.
    NightliesFirst,
    /// A move that was not answered is asked for again at once.
    RetriesAMoveBlindly,
    /// An order that was accepted arms no alarm.
    AcceptArmsNothing,
    /// A look is answered from a reading that began before the question.
    AnswersFromAnOldReading,
    /// A job approves as often as it is heard of.
    ApprovesTwice,
    /// A report that was not acknowledged is not sent again.
    ForgetsAReport,
    /// A name that is taken is taken for a success.
    TakenIsReleased,
    /// After a move, what neither place lists is missing at once.
    AbsenceIsMissing,
    /// A run does not remember that an act was begun.
    ForgetsWhatWasBegun,
    /// An act that failed before a look that failed is called a success.
    SwallowsTheSecondFault,
    /// Only the first page of a list is read.
    ReadsOnePage,
    /// A file without a digest passes for the approved one.
    UnknownDigestIsEqual,
    /// A file of the same name in another distro version passes for the wanted one.
    TakesAnotherDistro,
    /// A report changes a state that is final.
    OverwritesWhatIsFinal,
    /// Nobody looks for work that nobody drives.
    SweepsNothing,
    /// What Slipway has published is said to have been there before.
    SaysOutside,
    /// The account's token goes to storage, too.
    SendsTheTokenToStorage,
    /// A webhook's hint is dropped when GitLab does not answer.
    DropsAHint,
    /// Other public bytes are not seen.
    IgnoresAConflict,
    /// A begun act is not written down before it.
    WritesNothingBeforeTheAct,
    /// An act begins whatever the record says of it.
    ActsWithoutLeave,
    /// A played job whose webhook never came is not looked for.
    FindsNothing,
    /// A notice that was not answered is taken for told.
    TellsIntoTheVoid,
    /// A notice has another id in each try.
    ChangesTheId,
    /// An image's tag is set before its parts are there.
    TagsFirst,
    /// A manifest's bytes are believed to be those that were asked for.
    BelievesAManifest,
    /// Nobody looks whether a final tag is there before it is set.
    OverwritesATag,
    /// Of an image's blobs only those of one platform count.
    CopiesOnePlatform,
    /// A floating tag follows whatever was released last.
    FloatsBack,
    /// A staged package is deleted whatever staging and the public place show of its bytes.
    DeletesUnverified,
    /// What staging does not list is deleted as if it had been seen.
    TrustsAbsence,
    /// Whatever the clock says has passed.
    TrustsAnyClock,
    /// A run deletes all that is due, however much.
    IgnoresLimits,
    /// A deletion begins without asking the record again.
    DeletesWhatIsHeld,
    /// A staged file is deleted whoever else has it.
    DeletesWhatAnotherHas,
    /// With an image all of its parts are deleted, whatever other images need of them.
    DeletesSharedParts,
    /// A build may plan and stage for a release that was given up.
    ReopensWhatIsClosed,
    /// What a package has written down of its last run is believed, however old: who has asked for a slot and has begun nothing
    /// has looked before.
    TrustsItsRecord,
}

impl Planted {
    /// Every bug.
    pub const ALL: [Self; 44] = [
        Self::PublishesWhateverIsStaged,
        Self::RelayTrustsLength,
        Self::ActsBeforeItLooks,
        Self::ReleasedWithoutIndex,
        Self::TrustsAnIndexInMotion,
        Self::LendsWithoutCounting,
        Self::NightliesFirst,
        Self::RetriesAMoveBlindly,
        Self::AcceptArmsNothing,
        Self::AnswersFromAnOldReading,
        Self::ApprovesTwice,
        Self::ForgetsAReport,
        Self::TakenIsReleased,
        Self::AbsenceIsMissing,
        Self::ForgetsWhatWasBegun,
        Self::SwallowsTheSecondFault,
        Self::ReadsOnePage,
        Self::UnknownDigestIsEqual,
        Self::TakesAnotherDistro,
        Self::OverwritesWhatIsFinal,
        Self::SweepsNothing,
        Self::SaysOutside,
        Self::SendsTheTokenToStorage,
        Self::DropsAHint,
        Self::IgnoresAConflict,
        Self::WritesNothingBeforeTheAct,
        Self::ActsWithoutLeave,
        Self::FindsNothing,
        Self::TellsIntoTheVoid,
        Self::ChangesTheId,
        Self::TagsFirst,
        Self::BelievesAManifest,
        Self::OverwritesATag,
        Self::CopiesOnePlatform,
        Self::FloatsBack,
        Self::DeletesUnverified,
        Self::TrustsAbsence,
        Self::TrustsAnyClock,
        Self::IgnoresLimits,
        Self::DeletesWhatIsHeld,
        Self::DeletesWhatAnotherHas,
        Self::DeletesSharedParts,
        Self::ReopensWhatIsClosed,
        Self::TrustsItsRecord,
    ];
}

/// Whether this bug is there. It is not.
#[cfg(not(feature = "planted"))]
#[inline(always)]
#[allow(clippy::inline_always, reason = "nothing of it may be left")]
pub const fn planted(_bug: Planted) -> bool {
    false
}

#[cfg(feature = "planted")]
std::thread_local! {
    static BUG: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug is there.
#[cfg(feature = "planted")]
pub fn planted(bug: Planted) -> bool {
    BUG.get() == Some(bug)
}

/// Plants a bug in this thread, and takes out the one before.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Planted>) {
    BUG.set(bug);
}
