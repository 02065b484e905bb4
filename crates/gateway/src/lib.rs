//! The model gateway: every model call of every agent passes here.
//!
//! Agents hold a key that is worth nothing elsewhere; the provider's key never leaves this crate. A call is admitted
//! by the [`Ledger`] before a byte goes upstream and settled with it before the last bytes of the answer reach the
//! agent, so that money is reserved before it is spent and an answer that an agent has seen to its end is one that
//! was written down. Between those two points the gateway is a pipe: request and answer pass as the bytes they are,
//! streaming or not, and usage is read on the side; only where a known secret would pass are bytes replaced.
//!
//! What it refuses to do: translate between formats, choose an upstream by anything but the model's name and the
//! configured order, try again once a byte has gone to the agent, guess a price (a model without one costs *unknown*,
//! never nothing), make a call of its own.
//!
//! The way of one call, with the module that does it:
//!
//! 1. [`Gateway::handle`] checks path (`tariff::route`), key, size and JSON (`tariff::request`) and finds the upstream (`upstream`). A
//!    count of tokens is passed on and back (`count`), and that is all.
//! 2. The call then runs in a task of its own (`relay`), so that an agent that hangs up changes nothing in the books:
//!    the ledger is asked for a stored answer, then for the money (`tariff::worst` says the most that it can cost).
//! 3. The call waits for its turn (`pace`) at an upstream that is well (`health`). One that fails is tried again or
//!    passed over for the next (`tries`, `retry`); what may have been billed is settled before it is tried again.
//! 4. The upstream answers (`upstream` over HTTP, [`scripted`] in process); its bytes pass through
//!    `relay`, which reads usage (`tariff::meter`, `tariff::sse`) and holds back the closing event. Or a `cassette` answers: the calls of
//!    a mission can be kept, and answered again from what was kept.
//!    On the way a known secret is covered (`mask`): in requests (`outgoing`), and in answers, even when it comes in
//!    pieces over many events (`guard`).
//! 5. The ledger settles; the held bytes are released.

mod body;
mod books;
mod cassette;
mod count;
mod gateway;
mod guard;
mod health;
mod joined;
mod ledger;
mod mask;
mod models;
mod outgoing;
mod own;
mod pace;
mod relay;
mod retry;
pub mod scripted;
mod serve;
mod session;
mod tries;
mod trouble;
mod upstream;

use tariff::{format, meter, price, request, route, sse, worst};

pub use body::{Body, Broken};
pub use cassette::{Cassette, CassetteError, Difference, Recorder, Spot};
pub use gateway::{Gateway, GatewayConfig, Limits, SetupError, Stats, UpstreamStats};
pub use health::BreakerState;
pub use ledger::{Again, Call, Digest, Ledger, Outcome, Settled, StoredAnswer};
pub use mask::{MaskedStream, Masker, SECRET_BYTES_MIN};
pub use outgoing::{Leaving, Secrets};
pub use pace::Pace;
pub use retry::Retries;
pub use scripted::{Script, ScriptError};
pub use serve::{Listener, serve};
pub use session::{Session, Tag};
pub use tariff::{
    Cost, Format, ModelPrice, OUTPUT_TOKENS_LEAST, PriceError, PriceSource, PriceTable, Prices, Refusal, TABLE_VERSION,
    TableError, Usage, Worst,
};
pub use trouble::{Trouble, What};
pub use upstream::{Credential, Rules, Upstream, UpstreamKind};
