"""Planning, issuing and settling corrective credits."""
