"""Write the list of an output as a file for people: CSV, an Excel workbook, an HTML page."""
