"""An agency takes its referral back; whether the case goes on is for the parties to say."""
