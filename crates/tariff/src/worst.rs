//! The most that a call can use, and how much less when its answer is kept shorter.
//!
//! A provider bills at most the input that the request holds and the output that it allows. The input stands; the output is a number in the request, which
//! the books may lower so that the call fits what is left, as long as an answer of use still fits: a call is not sent with less than
//! [`OUTPUT_TOKENS_LEAST`], unless it asked for less itself.

use crate::usage::Refusal;

/// The fewest output tokens that an answer is lowered to, for each answer that is asked for.
pub const OUTPUT_TOKENS_LEAST: u64 = 4_096;

/// What a call can use at most, whoever answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// For each price that can apply: pico-dollars of the input, and of one output token. `None`: the price or a bound is not known.
    lines: Option<Vec<(u128, u64)>>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    /// How many answers share the output.
    answers: u64,
    /// Whether the request has a place for another number.
    lowers: bool,
    /// What each answer was lowered to.
    lowered: Option<u64>,
    /// What of the request nothing bounds, told to the agent.
    open: Option<String>,
    /// Whether the request offers tools that the provider runs itself, and that are left out under a cap.
    hosted: bool,
    /// Whether they are left out.
    pub without_hosted: bool,
}

impl Worst {
    /// Of a call with at most so many tokens, at no price yet. `answers` share the output; `lowers`: the request has a place for a lower number.
    pub fn new(input_tokens: Option<u64>, output_tokens: Option<u64>, answers: u64, lowers: bool) -> Self {
        Worst { input_tokens, output_tokens, answers, lowers, ..Worst::default() }
    }

    /// The same with what nothing bounds, and whether there are tools that the provider runs itself.
    pub fn open(self, open: Option<String>, hosted: bool) -> Self {
        Worst { open, hosted, ..self }
    }

    /// The same at these prices: pico-dollars of the input and of one output token, for each that can apply; none at all is free of charge, and `None`
    /// is unknown.
    #[must_use]
    pub fn at(self, lines: Option<Vec<(u128, u64)>>) -> Self {
        Worst { lines, ..self }
    }

    /// The dearer of two upstreams that may answer the same request; both prices are known.
    pub fn or(self, other: Self) -> Self {
        let most = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
        let lines = self.lines.zip(other.lines).map(|(mut lines, more)| {
            lines.extend(more);
            lines
        });
        Worst {
            lines,
            input_tokens: most(self.input_tokens, other.input_tokens),
            output_tokens: most(self.output_tokens, other.output_tokens),
            open: self.open.or(other.open),
            hosted: self.hosted || other.hosted,
            ..self
        }
    }

    /// The same where money is bounded: what the provider would run itself of its own accord is left out.
    ///
    /// # Errors
    /// What the agent is told when nothing bounds what the call costs: a field of the request (`unbounded_request`), a price
    /// (`unknown_price`) or the most output (`unknown_limit`) that is not known. None of them is a lack of money, and none passes by itself.
    pub fn for_money(&self) -> Result<Worst, Refusal> {
        if self.lines.as_ref().is_some_and(Vec::is_empty) {
            return Ok(self.clone());
        }
        if let Some(open) = &self.open {
            return Err(refusal("unbounded_request", open));
        }
        if self.lines.is_none() {
            let message =
                "There is a budget, but the price of the model is not known. Set it under `prices:` in muster.yaml.";
            return Err(refusal("unknown_price", message));
        }
        if self.micros().is_none() {
            return Err(refusal("unknown_limit", &no_limit("money")));
        }
        Ok(Worst { without_hosted: self.hosted, ..self.clone() })
    }

    /// The same where tokens are bounded.
    ///
    /// # Errors
    /// As [`for_money`](Self::for_money).
    pub fn for_tokens(&self) -> Result<Worst, Refusal> {
        if let Some(open) = &self.open {
            return Err(refusal("unbounded_request", open));
        }
        if self.least().tokens().is_none() {
            return Err(refusal("unknown_limit", &no_limit("tokens")));
        }
        Ok(Worst { without_hosted: self.hosted, ..self.clone() })
    }

    /// Micro-dollars; `None` when the price or a limit is not known.
    pub fn micros(&self) -> Option<u64> {
        let lines = self.lines.as_ref()?;
        let costs =
            lines.iter().map(|(input, each)| input + u128::from(self.output_tokens.unwrap_or(0)) * u128::from(*each));
        let bounded = self.output_tokens.is_some() || lines.iter().all(|(_, each)| *each == 0);
        bounded.then(|| costs.max().map_or(0, micros_up))
    }

    /// The most input tokens; `None` when they have no limit.
    pub fn input_tokens(&self) -> Option<u64> {
        self.input_tokens
    }

    /// The same with an input that is larger in the ratio of `reported` to `bound`: a provider that has reported more input than a request of so many
    /// could hold may do so again.
    #[must_use]
    pub fn stretched(&self, reported: u64, bound: u64) -> Worst {
        if reported <= bound {
            return self.clone();
        }
        let longer = |amount: u128| (amount.saturating_mul(u128::from(reported))).div_ceil(u128::from(bound.max(1)));
        let tokens = |tokens: u64| u64::try_from(longer(tokens.into())).unwrap_or(u64::MAX);
        let line = |(input, each): &(u128, u64)| (longer(*input), *each);
        let lines = self.lines.as_ref().map(|lines| lines.iter().map(line).collect());
        Worst { lines, input_tokens: self.input_tokens.map(tokens), ..self.clone() }
    }

    /// Input and output tokens together; `None` when one of them has no limit.
    pub fn tokens(&self) -> Option<u64> {
        Some(self.input_tokens?.saturating_add(self.output_tokens?))
    }

    /// All output tokens; `None` when they have no limit.
    pub fn output_tokens(&self) -> Option<u64> {
        self.output_tokens
    }

    /// What each answer may have at most, if that is less than the request says.
    pub fn lowered(&self) -> Option<u64> {
        self.lowered
    }

    /// The same with the shortest answer that is of use.
    #[must_use]
    pub fn least(&self) -> Worst {
        self.with_output(OUTPUT_TOKENS_LEAST.saturating_mul(self.answers.max(1))).unwrap_or_else(|| self.clone())
    }

    /// As it is, or with an answer that is short enough to cost no more than `micros` and have no more than `tokens` with the input (`None`: that
    /// does not matter). `None` when even the shortest one is too much, or not bounded.
    #[must_use]
    pub fn within(&self, micros: Option<u64>, tokens: Option<u64>) -> Option<Worst> {
        let fits = |worst: &Worst| {
            let cheap = micros.is_none_or(|most| worst.micros().is_some_and(|micros| micros <= most));
            cheap && tokens.is_none_or(|most| worst.tokens().is_some_and(|tokens| tokens <= most))
        };
        if fits(self) {
            return Some(self.clone());
        }
        let least = Some(self.least()).filter(|least| fits(least))?;
        let by_money = micros.into_iter().flat_map(|most| {
            let picos = u128::from(most) * PICOS_PER_MICRO;
            let lines = self.lines.iter().flatten().filter(|(_, each)| *each > 0);
            lines.map(move |(input, each)| picos.saturating_sub(*input) / u128::from(*each))
        });
        let by_tokens = tokens.zip(self.input_tokens).map(|(most, input)| u128::from(most.saturating_sub(input)));
        let output =
            by_money.chain(by_tokens).min().map_or(u64::MAX, |output| u64::try_from(output).unwrap_or(u64::MAX));
        self.with_output(output).filter(fits).or(Some(least))
    }

    /// With so much output in all; `None` when it is not less, or cannot be changed.
    fn with_output(&self, output: u64) -> Option<Worst> {
        let answers = self.answers.max(1);
        let each = output / answers;
        let lower = self.lowers && each > 0 && self.output_tokens.is_none_or(|now| each * answers < now);
        lower.then(|| Worst { output_tokens: Some(each * answers), lowered: Some(each), ..self.clone() })
    }
}

/// The status with which the vendors' own programs end their turn instead of asking again.
fn refusal(kind: &str, message: &str) -> Refusal {
    Refusal { status: 400, message: message.to_owned(), kind: kind.to_owned() }
}

fn no_limit(measure: &str) -> String {
    format!(
        "There is a budget of {measure}, but nothing bounds the answer to this request. Set `output_tokens` of the role in muster.yaml, or ask for fewer tokens in the request."
    )
}

const PICOS_PER_MICRO: u128 = 1_000_000;

fn micros_up(picos: u128) -> u64 {
    u64::try_from(picos.div_ceil(PICOS_PER_MICRO)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// $3 in and $15 out for a million tokens: 3 and 15 million pico-dollars for one.
    fn worst(input: u64, output: u64) -> Worst {
        let lines = vec![(u128::from(input) * 3_000_000, 15_000_000)];
        Worst::new(Some(input), Some(output), 1, true).at(Some(lines))
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let call = worst(1_000, 32_000);
        assert_eq!((call.micros(), call.tokens()), (Some(483_000), Some(33_000)));
        assert_eq!(call.within(Some(483_000), Some(33_000)), Some(call.clone()));
        assert_eq!(call.within(None, None), Some(call));
    }

    #[test]
    fn an_answer_is_lowered_to_what_is_left_and_no_further_than_is_of_use() {
        let call = worst(1_000, 32_000);
        let lowered = |micros, tokens| call.within(micros, tokens).map(|worst| (worst.lowered(), worst.micros()));
        // Of $0.10 the input takes $0.003; the rest pays for 6,466 tokens.
        assert_eq!(lowered(Some(100_000), None), Some((Some(6_466), Some(99_990))));
        assert_eq!(lowered(None, Some(6_000)), Some((Some(5_000), Some(78_000))));
        assert_eq!(lowered(Some(100_000), Some(6_000)), Some((Some(5_000), Some(78_000))));
        assert_eq!(lowered(Some(64_440), None), Some((Some(4_096), Some(64_440))));
        assert_eq!([lowered(Some(64_439), None), lowered(None, Some(5_095))], [None, None]);
    }

    #[test]
    fn a_bill_that_passed_its_request_stretches_the_next() {
        let call = worst(1_000, 2_000);
        let longer = call.stretched(2_500, 1_000);
        assert_eq!((longer.input_tokens(), longer.micros()), (Some(2_500), Some(37_500)));
        assert_eq!((call.stretched(900, 1_000), call.stretched(3, 0).input_tokens()), (call.clone(), Some(3_000)));
    }

    #[test]
    fn what_cannot_be_changed_is_not_lowered() {
        let fixed = Worst { lowers: false, ..worst(1_000, 32_000) };
        assert_eq!((fixed.within(Some(100_000), None), fixed.least()), (None, fixed.clone()));
        let short = worst(1_000, 100);
        assert_eq!(short.least(), short);
        let unknown = Worst::new(Some(5), Some(5), 1, true);
        assert_eq!((unknown.micros(), unknown.within(Some(u64::MAX), None)), (None, None));
    }

    #[test]
    fn several_answers_share_what_is_left() {
        let call = Worst { answers: 2, ..worst(0, 64_000) };
        let lowered = call.within(Some(150_015), None).unwrap();
        assert_eq!((lowered.lowered(), lowered.output_tokens()), (Some(5_000), Some(10_000)));
    }

    #[test]
    fn the_dearer_upstream_counts() {
        let dear = worst(1_000, 32_000).or(worst(1_000, 32_000).at(Some(vec![(0, 30_000_000)])));
        assert_eq!(dear.micros(), Some(960_000));
        assert_eq!(dear.within(Some(300_000), None).unwrap().lowered(), Some(10_000));
    }

    proptest::proptest! {
        #[test]
        fn what_is_lowered_fits(input in 0_u64..200_000, output in 1_u64..200_000, micros in 0_u64..5_000_000, tokens in 0_u64..400_000, answers in 1_u64..4) {
            let call = Worst { answers, ..worst(input, output * answers) };
            if let Some(fit) = call.within(Some(micros), Some(tokens)) {
                proptest::prop_assert!(fit.micros().unwrap() <= micros && fit.tokens().unwrap() <= tokens);
                let least = OUTPUT_TOKENS_LEAST.min(output) * answers;
                proptest::prop_assert!(fit.output_tokens().unwrap() >= least);
            }
        }
    }
}
