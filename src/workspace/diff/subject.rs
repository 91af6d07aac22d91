//! What of a row is compared with what.
