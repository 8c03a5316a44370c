//! What a key may do.

use std::{fmt, ops::BitOr};

use clap::ValueEnum;

/// One thing that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Send readings.
    Ingest,
    /// Read sensors, readings and statistics.
    Read,
    /// Everything: what the others may, making, changing and deleting sensors, and the dead letters.
    Admin,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// As the database, the command line and the OpenAPI document have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Ingest => 1,
            Self::Read => 2,
            Self::Admin => 4,
        }
    }
}

/// Any number of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// One scope.
    pub const fn one(scope: Scope) -> Self {
        Self(scope.bit())
    }

    /// Those of these names; names that this version does not know allow nothing.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names
            .into_iter()
            .filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.as_str() == name))
            .collect()
    }

    /// Whether a key with these scopes may do what any of `needed` allows. `admin` may everything.
    pub const fn allow(self, needed: Self) -> bool {
        self.0 & (needed.0 | Scope::Admin.bit()) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl BitOr for Scopes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Scopes {
    /// `ingest or read`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            let between = if index == 0 { "" } else { " or " };
            write!(f, "{between}{}", scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_allows_itself_and_admin_everything() {
        for held in Scope::ALL {
            for needed in Scope::ALL {
                let allowed = Scopes::one(held).allow(Scopes::one(needed));
                assert_eq!(allowed, held == needed || held == Scope::Admin, "{held:?} {needed:?}");
            }
        }
        let either = Scopes::one(Scope::Ingest) | Scopes::one(Scope::Read);
        assert!(Scopes::one(Scope::Read).allow(either) && Scopes::one(Scope::Ingest).allow(either));
        assert!(either.allow(Scopes::one(Scope::Read)) && !either.allow(Scopes::one(Scope::Admin)));
        assert!(!Scopes::default().allow(either), "no scope, no right");
    }

    #[test]
    fn names_go_there_and_back() {
        let scopes = Scopes::named(["read", "ingest", "fly"]);
        assert_eq!(scopes.iter().collect::<Vec<_>>(), [Scope::Ingest, Scope::Read]);
        assert_eq!(scopes.to_string(), "ingest or read");
        assert_eq!(Scopes::named(["fly"]), Scopes::default());
    }
}
