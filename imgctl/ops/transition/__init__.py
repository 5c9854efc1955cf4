"""Moving originals to a colder storage class: eligibility, survey, act."""
