//! One package, staged and approved, on its way to one public repository.

use slipway_core::inventory::Store;
use slipway_core::promotion::Promotion;
use slipway_packagecloud::Account;
use slipway_tests::fakes::{Net, Packagecloud};
use slipway_wire::Digest;

pub(crate) const STAGING: &str = "harbour-ci/pre-release";
pub(crate) const PUBLIC: &str = "harbour/stable";
pub(crate) const JAMMY: &str = "ubuntu/jammy";
pub(crate) const TUG: &str = "tug_1.2.0-1_amd64.deb";
/// What a person approved.
pub(crate) const BYTES: &[u8] = b"what a person has approved";
/// As many bytes as those.
pub(crate) const OTHER: &[u8] = b"what no one has approved!!";

/// The package in staging, approved, and nothing of it in public. Beside it stands what looks like it.
pub(crate) fn net() -> Net {
    let net = Net::new();
    for (mut place, repository) in [(net.staging(), STAGING), (net.public(), PUBLIC)] {
        place.put(repository, JAMMY, &format!("harbour-{TUG}"), b"a longer name");
        place.put(repository, "ubuntu/noble", TUG, b"another distro version");
        place.put("harbour/other", JAMMY, TUG, b"another repository");
    }
    net.staging().put(STAGING, JAMMY, TUG, BYTES);
    net.approve(PUBLIC, JAMMY, TUG, Digest::of(BYTES));
    net
}

/// The promotion of that package.
pub(crate) fn promotion(net: &Net) -> Promotion {
    Promotion {
        staging: store(&net.staging(), STAGING),
        public: store(&net.public(), PUBLIC),
        distro: JAMMY.parse().expect("a distro version"),
        filename: TUG.parse().expect("a file name"),
        digest: Digest::of(BYTES),
        size: u64::try_from(BYTES.len()).expect("a small file"),
    }
}

pub(crate) fn store(place: &Packagecloud, repository: &str) -> Store {
    Store {
        account: Account::new(place.base.clone(), place.token.clone()),
        repository: repository.parse().expect("a repository"),
        storage: vec![place.storage.clone()],
    }
}

/// What the public place has under the name.
pub(crate) fn public_bytes(net: &Net) -> Option<Vec<u8>> {
    net.public().get(PUBLIC, JAMMY, TUG).map(|package| package.bytes.clone())
}

/// How many pushes the public place accepted.
pub(crate) fn writes(net: &Net) -> usize {
    net.public().writes.len()
}
