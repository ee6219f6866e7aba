//! Scenarios of the layer on virtual time.
