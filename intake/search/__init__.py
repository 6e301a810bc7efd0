"""How staff find a case: by numbers, place, kind and time, by a party for a stated purpose."""
