//! How tasks are classified and which role gets one: `dispatch:` of `muster.yaml`.

use crate::{
    config::capability,
    source::{
        Source,
        checker::Checker,
        shape::{At, List, Text, Whole},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most rules of one file.
pub const RULES_MAX: usize = 256;
/// The rules that hold after those of a file.
const BUILT_IN: &str = include_str!("dispatch/rules.yaml");

/// How tasks are classified and given to roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dispatch {
    /// How much each consideration weighs when roles compete.
    pub weights: Weights,
    /// How many attempts of one role at a task fail before another is preferred.
    pub tries_per_role: u32,
    /// By what a task is classified, the first first.
    pub rules: Vec<TaskRule>,
}

/// How much each consideration weighs; where nothing is set, the core's own default holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// What agents can do of what is good to have.
    pub capability: Option<u32>,
    /// How they are.
    pub health: Option<u32>,
    /// How much of their budget is left.
    pub budget: Option<u32>,
    /// What their model costs.
    pub price: Option<u32>,
    /// How such tasks went before.
    pub history: Option<u32>,
}

/// What is said of tasks that fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskRule {
    /// It fits when one of these stands in the title or the instructions, as whole words, whatever their case; in lower case here.
    pub words: Vec<String>,
    /// It fits when one of these is a part of one of the globs that the task may write.
    pub paths: Vec<String>,
    /// It fits only tasks whose result is a text, or only those whose result is none.
    pub text: Option<bool>,
    /// It fits only instructions of at least so many words.
    pub words_min: Option<u32>,
    /// It fits only tasks that may write at least so many globs.
    pub paths_min: Option<u32>,
    /// What kind of work it is.
    pub task_type: Option<String>,
    /// How large it is.
    pub size: Option<TaskSize>,
    /// What is good to have for it.
    pub wants: Vec<String>,
}

/// How large a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TaskSize {
    /// A few lines.
    Small,
    /// What one does at one go.
    #[default]
    Medium,
    /// Much.
    Large,
}

/// How tasks are classified and given to roles.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DispatchSpec {
    /// How much each consideration weighs when roles compete for a task.
    pub(crate) weights: Option<WeightsSpec>,
    /// How many attempts of one role at a task fail before another that may do it is preferred; 2 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    pub(crate) tries_per_role: Option<At<Whole>>,
    /// Rules that classify tasks, ahead of the built-in ones.
    #[serde(default)]
    #[schemars(extend("maxItems" = RULES_MAX))]
    pub(crate) rules: List<RuleSpec>,
}

/// How much each consideration weighs; 0 leaves it out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightsSpec {
    /// What agents can do of what is good to have; 4 when left out.
    #[schemars(extend("maximum" = 1_000))]
    pub(crate) capability: Option<At<Whole>>,
    /// How they are; 3 when left out.
    #[schemars(extend("maximum" = 1_000))]
    pub(crate) health: Option<At<Whole>>,
    /// How much of their budget is left; 1 when left out.
    #[schemars(extend("maximum" = 1_000))]
    pub(crate) budget: Option<At<Whole>>,
    /// What their model costs; 2 when left out.
    #[schemars(extend("maximum" = 1_000))]
    pub(crate) price: Option<At<Whole>>,
    /// How such tasks went before in this repository; 3 when left out.
    #[schemars(extend("maximum" = 1_000))]
    pub(crate) history: Option<At<Whole>>,
}

/// What is said of tasks that fit. Of `words`, `paths`, `text`, `words_min` and `paths_min` all that are there have to fit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    /// One of these in the title or the instructions.
    #[serde(default)]
    pub(crate) words: List<Text>,
    /// One of these as a part of a glob that the task may write.
    #[serde(default)]
    pub(crate) paths: List<Text>,
    /// Whether the task's result is a text (`writes: []`).
    pub(crate) text: Option<bool>,
    /// At least so many words of instructions.
    pub(crate) words_min: Option<At<Whole>>,
    /// At least so many globs that the task may write.
    pub(crate) paths_min: Option<At<Whole>>,
    /// What kind of work it is.
    #[serde(rename = "type")]
    #[schemars(extend("pattern" = "^[a-z0-9][a-z0-9_-]{0,63}$"))]
    pub(crate) task_type: Option<At<Text>>,
    /// How large it is.
    pub(crate) size: Option<TaskSize>,
    /// Capabilities that are good to have for it.
    #[serde(default)]
    pub(crate) wants: List<Text>,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self { weights: Weights::default(), tries_per_role: 2, rules: built_in() }
    }
}

impl DispatchSpec {
    pub(super) fn judge(self, checker: &mut Checker) -> Dispatch {
        let own = rules(checker, self.rules);
        Dispatch {
            weights: self.weights.map(|weights| weights.judge(checker)).unwrap_or_default(),
            tries_per_role: checker.number("`tries_per_role`", self.tries_per_role, 1..=100).unwrap_or(2),
            rules: own.into_iter().chain(built_in()).collect(),
        }
    }
}

impl WeightsSpec {
    fn judge(self, checker: &mut Checker) -> Weights {
        let mut weight = |number| checker.number("the weight", number, 0..=1_000);
        Weights {
            capability: weight(self.capability),
            health: weight(self.health),
            budget: weight(self.budget),
            price: weight(self.price),
            history: weight(self.history),
        }
    }
}

fn rules(checker: &mut Checker, List(specs): List<RuleSpec>) -> Vec<TaskRule> {
    if let Some(first) = specs.get(RULES_MAX) {
        checker.wrong(first.place, format!("there are {} rules", specs.len()), format!("keep {RULES_MAX}"));
    }
    specs.into_iter().map(|spec| rule(checker, spec)).collect()
}

fn rule(checker: &mut Checker, At { value: spec, place }: At<RuleSpec>) -> TaskRule {
    let mut texts = |what, List(texts): List<Text>| -> Vec<String> {
        texts.into_iter().map(|text| checker.text(what, text)).collect()
    };
    let (words, paths) = (texts("the word", spec.words), texts("the part of a path", spec.paths));
    let rule = TaskRule {
        words: words.iter().map(|word| word.to_lowercase()).collect(),
        paths,
        text: spec.text,
        words_min: checker.number("`words_min`", spec.words_min, 1..=1_000_000),
        paths_min: checker.number("`paths_min`", spec.paths_min, 1..=1_000),
        task_type: spec.task_type.map(|text| capability(checker, text)),
        size: spec.size,
        wants: spec.wants.0.into_iter().map(|text| capability(checker, text)).collect(),
    };
    let always = TaskRule { task_type: None, size: None, wants: Vec::new(), ..rule.clone() } == TaskRule::default();
    if always {
        checker.wrong(
            place,
            "this rule would fit every task",
            "add `words`, `paths`, `text`, `words_min` or `paths_min`",
        );
    }
    if rule.task_type.is_none() && rule.size.is_none() && rule.wants.is_empty() {
        checker.wrong(place, "this rule says nothing of the tasks that fit", "add `type`, `size` or `wants`");
    }
    rule
}

#[allow(clippy::expect_used, reason = "the file is a part of the program, and a test reads it")]
fn built_in() -> Vec<TaskRule> {
    let source = Source::new("rules.yaml", BUILT_IN);
    let spec: DispatchSpec = source.parse().expect("the built-in rules can be read");
    let mut checker = Checker::new(&source);
    let rules = rules(&mut checker, spec.rules);
    checker.finish(rules).expect("the built-in rules are right")
}
