//! `slipway.toml` and the secrets that it names.

use std::cell::OnceCell;
use std::rc::Rc;

use js_sys::Reflect;
use slipway_core::config::{Config, Place, PlaceKind, Project};
use slipway_core::route::Site;
use slipway_core::secret::EdgeKey;
use slipway_core::store::{Registry, Store};
use slipway_packagecloud::Account;
use slipway_wire::Token;
use worker::{Env, Error, Result};

thread_local! {
    /// The file is part of the deployment, so one reading lasts as long as the isolate. No JavaScript handle is kept.
    static CONFIG: OnceCell<Rc<Config>> = const { OnceCell::new() };
    static ASSETS: OnceCell<&'static str> = const { OnceCell::new() };
}

/// The checked file. The deployment's entry module puts its text on `globalThis.SLIPWAY_CONFIG`.
pub(crate) fn config() -> Result<Rc<Config>> {
    CONFIG.with(|cell| {
        if let Some(config) = cell.get() {
            return Ok(Rc::clone(config));
        }
        let text = Reflect::get(&js_sys::global(), &"SLIPWAY_CONFIG".into())
            .ok()
            .and_then(|text| text.as_string())
            .ok_or_else(|| Error::RustError("the deployment has no slipway.toml".to_owned()))?;
        let config = Rc::new(Config::parse(&text).map_err(|error| Error::RustError(error.to_string()))?);
        Ok(Rc::clone(cell.get_or_init(|| config)))
    })
}

/// Which build of the dashboard's files belongs to this deployment: a name that is part of their addresses. Empty where it
/// has none. It is kept as long as the isolate, as the file that says it is.
pub(crate) fn assets() -> &'static str {
    ASSETS.with(|cell| {
        *cell.get_or_init(|| {
            let name = Reflect::get(&js_sys::global(), &"SLIPWAY_ASSETS".into()).ok().and_then(|name| name.as_string());
            name.unwrap_or_default().leak()
        })
    })
}

/// A secret of the deployment, by the name that `slipway.toml` gives it. An empty one counts as not set: whoever shows
/// nothing would know it.
pub(crate) fn secret(env: &Env, name: &str) -> Result<Token> {
    match env.secret(name).map(|secret| secret.to_string()) {
        Ok(secret) if !secret.trim().is_empty() => Ok(Token::new(secret)),
        _ => Err(Error::RustError(format!("the secret `{name}` is not set; use `wrangler secret put {name}`"))),
    }
}

/// A secret or a variable of the deployment: what is public may be either.
pub(crate) fn text(env: &Env, name: &str) -> Result<Token> {
    match env.var(name) {
        Ok(text) => Ok(Token::new(text.to_string())),
        Err(_) => secret(env, name),
    }
}

/// What the edge signs its own texts with.
pub(crate) fn edge_key(env: &Env) -> Result<EdgeKey> {
    EdgeKey::parse(&secret(env, "SLIPWAY_EDGE_KEY")?).map_err(|error| Error::RustError(error.to_string()))
}

/// A configured place by its name.
pub(crate) fn place<'a>(config: &'a Config, name: &str) -> Result<&'a Place> {
    config.places.get(name).ok_or_else(|| Error::RustError(format!("slipway.toml has no place `{name}` any more")))
}

/// A repository that can be asked.
pub(crate) fn store(env: &Env, config: &Config, site: &Site) -> Result<Store> {
    let place = place(config, &site.place)?;
    match place.kind {
        PlaceKind::Packagecloud => Ok(Store::Packagecloud {
            account: Account::new(place.url.clone(), secret(env, &place.token)?),
            repository: site.repository.parse().map_err(|error| Error::RustError(format!("{error}")))?,
            storage: place.storage.clone(),
        }),
        PlaceKind::Registry => {
            let rules = config.image_rules(site);
            let registry = place.registry(secret(env, &place.token)?);
            Ok(Store::Registry(Box::new(Registry {
                registry: registry
                    .ok_or_else(|| Error::RustError(format!("the place `{}` has no user", site.place)))?,
                repository: site.repository.parse().map_err(|error| Error::RustError(format!("{error}")))?,
                private: place.private,
                referrers: rules.referrers,
                floating: rules.floating,
            })))
        }
    }
}

/// The project with this id.
pub(crate) fn project(config: &Config, id: u64) -> Result<&Project> {
    config.project_of_id(id).ok_or_else(|| Error::RustError(format!("slipway.toml has no project {id} any more")))
}
