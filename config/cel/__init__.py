"""CEL, behind one interface: expressions, conditions, amounts, and the explanation of their errors."""
