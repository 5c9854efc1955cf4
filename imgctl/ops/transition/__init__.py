"""Moving originals to a colder storage class: gate, survey, act."""
