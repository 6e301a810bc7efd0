"""Who acts for whom: capacity by age, representatives and their authority, groups."""
