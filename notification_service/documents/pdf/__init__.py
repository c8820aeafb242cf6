"""Drawing a PDF: put down straight for plain scripts, by fpdf2 where letters join or stack."""
