"""Parts that several pages of the admin share. No page is here."""
