"""The settings: what each section of params.yaml may hold, checked as a whole before anything is run or removed."""
