"""Other methods for de Bezenac et al.'s task (ICLR 2018): four days of temperature in, the next six days out."""
