"""The front door: referrals, cases, the party vault, receipts, the case file and its timeline."""
