ANSWERS = {
    "4.1": "No",
    "4.2": "yes",
}
WRONG = {"4.1": "yes", "4.2": "no"}
