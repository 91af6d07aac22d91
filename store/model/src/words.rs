//! The macro behind every closed or open set of words that is stored, shown and sent.

/// Declares an enum whose variants have one stored word each.
///
/// The word is what stands in rows, JSON and filters; `ALL` is the whole set, so that a table
/// test can compare it with the contract.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        $vis enum $name { $($(#[$vmeta])* #[doc = concat!("Stored as `", $word, "`.")] #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every word of the set, in the order of its declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stored word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads a stored word; `None` when it is not of this set.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl $crate::column::Column for $name {
            fn to_cell(&self) -> $crate::column::Cell { $crate::column::Cell::Text(self.as_str().to_owned()) }
            fn from_cell(cell: $crate::column::Cell) -> Result<Self, String> {
                <String as $crate::column::Column>::from_cell(cell)?.parse::<Self>().map_err(|e| e.to_string())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::parse(word).ok_or_else(|| $crate::words::UnknownWord {
                    set: stringify!($name),
                    word: word.to_owned(),
                    known: Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

/// A word that is not of the set it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no {set}; known are {known}")]
pub struct UnknownWord {
    /// Name of the set.
    pub set: &'static str,
    /// What was found.
    pub word: String,
    /// The words of the set, separated by commas.
    pub known: String,
}
