//! Where parts of a file stand, for faults that only who knows the machine can find: a key that is not set, a program that
//! is not there.

use super::{ConfigFile, RoleSpec};
use crate::{
    plan::PlanFile,
    source::{Place, Source, shape::Entries},
};
use std::collections::BTreeMap;

/// The places of a file's upstreams and roles, by name and part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    /// The place of a part such as `upstreams.main.key`, or of the nearest that it is a part of.
    pub fn of(&self, part: &str) -> Option<Place> {
        let mut part = part;
        loop {
            match (self.0.get(part), part.rsplit_once('.')) {
                (Some(place), _) => return Some(*place),
                (None, Some((outer, _))) => part = outer,
                (None, None) => return None,
            }
        }
    }

    fn add(&mut self, part: String, place: Option<Place>) {
        self.0.extend(place.map(|place| (part, place)));
    }

    fn roles(&mut self, roles: &Entries<RoleSpec>) {
        for (name, role) in &roles.0 {
            let (part, role) = (format!("roles.{}", name.value), &role.value);
            self.add(part.clone(), Some(name.place));
            self.add(format!("{part}.model"), Some(role.model.place));
            let program = role.command.as_ref().map_or(role.runtime.place, |command| command.place);
            self.add(format!("{part}.program"), Some(program));
        }
    }
}

/// Those of a configuration; none of a text that is none.
pub fn places(source: &Source) -> Places {
    let mut places = Places::default();
    let Ok(file) = source.parse::<ConfigFile>() else { return places };
    for (name, upstream) in &file.upstreams.0 {
        let (part, upstream) = (format!("upstreams.{}", name.value), &upstream.value);
        places.add(part.clone(), Some(name.place));
        let text = [&upstream.key_env, &upstream.key_file].into_iter().flatten().map(|at| at.place);
        let key = text.chain(upstream.key_command.as_ref().map(|at| at.place)).next();
        places.add(format!("{part}.key"), key);
        let file = [&upstream.scripted, &upstream.replay].into_iter().flatten().map(|at| at.place).next();
        places.add(format!("{part}.file"), file);
    }
    places.roles(&file.roles);
    places
}

/// Those of a plan; none of a text that is none.
pub fn plan_places(source: &Source) -> Places {
    let mut places = Places::default();
    if let Ok(file) = source.parse::<PlanFile>() {
        places.roles(&file.roles);
    }
    places
}
