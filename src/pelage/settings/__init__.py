"""The settings: what each section of params.yaml may hold, checked as a whole before anything is read, run or removed."""
