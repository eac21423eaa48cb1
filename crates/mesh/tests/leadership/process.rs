//! Candidates as processes of their own.
