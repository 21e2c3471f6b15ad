"""Asks the endpoint again and again and reports how many answers came within the last minute."""
import os
import time
import urllib.error
import urllib.request

endpoint, threshold = os.environ['MODEL_ENDPOINT'], float(os.environ['ALERT_THRESHOLD'])
answers = []
while True:
    try:
        with urllib.request.urlopen(f'{endpoint}/v1/models/my-model', timeout=5) as r:
            ok = r.status == 200
    except (urllib.error.URLError, OSError):
        ok = False
    answers = (answers + [ok])[-12:]
    share = sum(answers) / len(answers)
    print(f'{endpoint}: {share:.2f} answered' + ('' if share >= threshold else ', ALERT'), flush=True)
    time.sleep(5)
