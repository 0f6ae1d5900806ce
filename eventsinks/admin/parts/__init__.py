"""What several pages of the admin have in common. No page is here."""
