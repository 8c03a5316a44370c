//! A JSON scanner that hands out slices of its input and allocates nothing.
