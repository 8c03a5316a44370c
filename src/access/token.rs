//! The secret that a client shows: `sp_<id>_<secret>`.
//!
//! The id, 12 hexadecimal digits, is no secret: it finds the key, and whoever comes upon a token somewhere can tell
//! whose it is. The secret is 256 random bits in base64. What is kept is SHA-256 of the whole, unsalted: a slow hash
//! protects what people think up, and nobody guesses 256 random bits however fast the hash is, while every
//! request has to compute it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryRngCore as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const START: &str = "sp_";
const ID_BYTES: usize = 6;
const ID_CHARS: usize = 2 * ID_BYTES;
const SECRET_BYTES: usize = 32;
/// 32 bytes in base64 without padding.
const SECRET_CHARS: usize = 43;
const TOKEN_CHARS: usize = START.len() + ID_CHARS + 1 + SECRET_CHARS;

/// The part of a token that finds its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenId([u8; ID_CHARS]);

/// A token's SHA-256.
#[derive(Clone, Copy, Debug)]
pub struct TokenHash([u8; 32]);

/// A whole token, which nothing but the command that makes it ever prints.
pub struct Token(String);

impl Token {
    /// A new one, from the operating system's randomness.
    pub fn generate() -> Result<Self, rand::rand_core::OsError> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        let mut randomness = rand::rngs::OsRng;
        randomness.try_fill_bytes(&mut id)?;
        randomness.try_fill_bytes(&mut secret)?;
        let id = id.iter().fold(0_u64, |id, &byte| id << 8 | u64::from(byte));
        let secret = URL_SAFE_NO_PAD.encode(secret);
        Ok(Self(format!("{START}{id:0ID_CHARS$x}_{secret}")))
    }

    /// The text to show once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database keeps.
    pub fn parts(&self) -> (TokenId, TokenHash) {
        let id = TokenId::of(self.0.as_bytes()).expect("a token has an id");
        (id, TokenHash::of(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl TokenId {
    /// The id of what a client shows, if it has the form of a token.
    pub fn of(token: &[u8]) -> Option<Self> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        let rest = token.strip_prefix(START.as_bytes())?;
        let (id, secret) = rest.split_first_chunk()?;
        (secret.first() == Some(&b'_')).then_some(Self(*id))
    }

    /// The id as it is stored.
    pub fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }

    /// For people and the database.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TokenHash {
    /// The hash of what a client shows.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// The hash as it is stored.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes for the database.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_its_parts() {
        let token = Token::generate().unwrap();
        assert_eq!(token.expose().len(), TOKEN_CHARS);
        let (id, hash) = token.parts();
        assert_eq!(&token.expose()[3..15], id.as_str());
        assert_eq!(TokenId::parse(id.as_str()), Some(id));
        assert_eq!(TokenHash::parse(hash.as_bytes()), Some(hash));
        assert!(Token::generate().unwrap().parts() != (id, hash), "no two are alike");
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-2's example.
        let hash = TokenHash::of(b"abc");
        assert_eq!(hash.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert!(hash != TokenHash::of(b"abd"));
    }

    #[test]
    fn other_forms_have_no_id() {
        let token = Token::generate().unwrap();
        let token = token.expose();
        assert!(TokenId::of(token.as_bytes()).is_some());
        let longer = format!("{token}x");
        for text in ["", "sp_", &token[1..], &longer, &token.replace("sp_", "xx_"), &token[..TOKEN_CHARS - 1]]
        {
            assert_eq!(TokenId::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_token_does_not_print_itself() {
        let token = Token::generate().unwrap();
        assert!(!format!("{token:?}").contains(&token.expose()[16..]));
    }
}
