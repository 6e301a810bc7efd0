"""What routing does: offering, answering turns, settling, linking, keeping clocks."""
