//! API keys: what a token looks like and what a key allows; pure.

mod scope;
mod token;

pub use scope::{Scope, Scopes};
pub use token::{Token, TokenHash, TokenId};
