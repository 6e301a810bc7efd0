"""The chassis: how any Liandiao service is built, run and kept honest; it knows no dispute."""
