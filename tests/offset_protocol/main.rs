//! The offset protocol, as it ships, in a simulated world: whatever crashes, freezes, moves or is lost when, no reading is
//! lost, none is stored twice, and once the faults stop everything gets stored.

mod exhaustive;
mod simulation;
mod world;
