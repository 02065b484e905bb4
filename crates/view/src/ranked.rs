//! The choice of a role in words, with every candidate and what spoke for and against it.

use super::{table, trail::Trail};
use mission::{Candidate, Ranking, RoleId};

/// Why this one.
pub(super) fn why(trail: &Trail, ranking: &Ranking, chosen: RoleId) -> String {
    let name = trail.role_name(chosen);
    let Some(known) = ranking.candidates.iter().find(|known| known.role == chosen) else { return String::new() };
    let others = ranking.candidates.iter().filter(|other| other.role != chosen);
    match &known.out {
        Some(out) => format!("nothing less speaks against {name} than against any other, though it {}", out.tell()),
        None if ranking.compete => {
            let rest = others.filter(|other| other.out.is_none());
            match rest.max_by_key(|other| other.score) {
                Some(next) if next.score > known.score => {
                    format!("{name} has the most points of those that are free, {}", known.score)
                }
                Some(next) if next.score == known.score => {
                    format!("{name} and {} have {} points; the first is taken", trail.role_name(next.role), known.score)
                }
                Some(next) => {
                    format!(
                        "{name} has the most points, {}; next is {} with {}",
                        known.score,
                        trail.role_name(next.role),
                        next.score
                    )
                }
                None => format!("{name} is the only one that nothing speaks against"),
            }
        }
        None => {
            let before = ranking.candidates.iter().take_while(|other| other.role != chosen);
            let told: Vec<String> = before
                .filter_map(|other| Some(format!("{} {}", trail.role_name(other.role), other.out.as_ref()?.tell())))
                .collect();
            if told.is_empty() {
                format!("{name} is preferred")
            } else {
                format!("{}; {name} is next", told.join(", "))
            }
        }
    }
}

/// What is known of the task, and a line for each candidate.
pub(super) fn evidence(trail: &Trail, ranking: &Ranking, chosen: RoleId) -> String {
    let profile = &ranking.profile;
    let kind = if profile.kind.is_empty() { "other" } else { &profile.kind };
    let size: &'static str = profile.size.into();
    let list =
        |word: &str, of: &[String]| if of.is_empty() { String::new() } else { format!(", {word} {}", of.join(", ")) };
    let head = format!("the task: {kind}, {size}{}{}", list("needs", &ranking.needs), list("wants", &profile.wants));
    let rows: Vec<Vec<String>> = ranking.candidates.iter().map(|known| row(trail, known, chosen)).collect();
    format!("{head}\n{}", table(&rows).trim_end())
}

fn row(trail: &Trail, known: &Candidate, chosen: RoleId) -> Vec<String> {
    let mark = if known.role == chosen { ">" } else { " " };
    let points = known.points;
    let made_of = format!(
        "capability {}, health {}, budget {}, price {}, history {}",
        points.capability, points.health, points.budget, points.price, points.history
    );
    let against = match &known.out {
        Some(out) => out.tell(),
        None if known.free == 0 => "busy".to_owned(),
        None => format!("{} free", known.free),
    };
    let name = trail.role_name(known.role).to_owned();
    vec![format!("{mark} {name}"), format!("{} points", known.score), against, made_of]
}

#[cfg(test)]
#[path = "ranked_tests.rs"]
mod tests;
