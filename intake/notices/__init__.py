"""Both are told (双告知): what the party and the receiver must hear, as tasks until proved."""
