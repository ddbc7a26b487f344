"""One file per guarantee of the design, named after it."""
