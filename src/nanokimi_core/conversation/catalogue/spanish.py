"""What the assistant says, in Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nanokimi_core.conversation.catalogue.keys import Key

SPANISH: Final[Mapping[Key, str]] = {
    "help": """Respondo a lo que escribas aquí. Comandos:
/new: olvidar esta conversación y empezar otra
/stop: detener la respuesta que estoy escribiendo
/status: cómo estoy y cuántos mensajes esperan aquí
/help: esta lista""",
    "fresh": "Hecho: el próximo mensaje empieza una conversación nueva.",
    "nothing_to_stop": "No hay nada que detener.",
    "stopped": "Detenido.",
    "too_many_waiting": "Hay demasiados mensajes en espera y no he guardado este; envíalo otra vez dentro de un rato, "
    "por favor.",
    "too_many_today": "Ya he respondido aquí todo lo que puedo en un día; escríbeme mañana, por favor.",
    "fault": "Algo ha fallado por mi parte; mi dueño ya está avisado.",
    "undelivered": "Tenía una respuesta para ti que no se ha podido entregar; mi dueño ya está avisado.",
    "status_chat": "{name} {state}. Mensajes en espera aquí: {waiting}.",
    "state_ready": "está a punto",
    "state_working": "está preparando una respuesta",
    "state_held": "no está disponible por ahora y responderá a lo que espera",
    "held_credentials": "No estoy disponible por ahora: mi cuenta no me deja entrar. Tu mensaje está guardado, mi "
    "dueño ya está avisado, y responderé en cuanto pueda.",
    "held_quota": "No estoy disponible por ahora: mi cuenta está agotada. Tu mensaje está guardado, mi dueño ya está "
    "avisado, y responderé en cuanto pueda.",
    "held_rate_limit": "Ahora mismo me preguntan demasiado. Tu mensaje está guardado y lo responderé {later}.",
    "held_engine": "No estoy disponible por ahora: la máquina en la que trabajo no está lista. Tu mensaje está "
    "guardado, mi dueño ya está avisado, y responderé en cuanto pueda.",
    "held_model": "No estoy disponible por ahora: estoy mal configurado. Tu mensaje está guardado, mi dueño ya está "
    "avisado, y responderé en cuanto pueda.",
    "away_credentials": "No estoy disponible por ahora: mi cuenta no me deja entrar.",
    "away_quota": "No estoy disponible por ahora: mi cuenta está agotada.",
    "away_rate_limit": "Ahora mismo me preguntan demasiado.",
    "away_engine": "No estoy disponible por ahora: la máquina en la que trabajo no está lista.",
    "away_model": "No estoy disponible por ahora: estoy mal configurado.",
    "away_kept": "{away} Tu mensaje está guardado, y responderé en cuanto pueda.",
    "away_once": "{away} Pregúntame otra vez cuando haya pasado, por favor.",
    "away_login": "Para que inicie sesión, escribe aquí: /login {name}",
    "gave_up": "He intentado responder a tu mensaje varias veces sin éxito y lo he dejado; mi dueño ya está avisado.",
    "gave_up_crashed": "He tropezado con tu mensaje en cada intento y lo he dejado; mi dueño ya está avisado.",
    "gave_up_out_of_memory": "Tu mensaje necesita más memoria de la que tengo y lo he dejado; prueba con algo más "
    "pequeño, por favor.",
    "gave_up_silent": "Me he quedado atascado con tu mensaje en cada intento y lo he dejado; mi dueño ya está avisado.",
    "gave_up_too_long": "Tu mensaje lleva más pasos o tiempo de los que tengo permitidos y lo he dejado; prueba con "
    "algo más pequeño, por favor.",
    "gave_up_no_answer": "No se me ha ocurrido ninguna respuesta a tu mensaje y lo he dejado; dímelo de otra manera, "
    "por favor.",
    "later": "dentro de un rato",
    "later_seconds": "dentro de {count} segundos",
    "later_minutes": "dentro de {count} minutos",
    "later_hours": "dentro de {count} horas",
    "later_days": "dentro de {count} días",
    "kind_direct": "un chat directo",
    "kind_group": "un grupo",
    "kind_self": "un chat con uno mismo",
    "people_some": "{people}",
    "people_more": "{people} y {rest} más",
    "people_none": "nadie conocido",
    "remedy": "; {remedy}",
    "owner_code": "{name} aún no tiene dueño. Para ser su dueño, envía esto desde tu propia cuenta en un chat directo "
    "con {name}, o en tu chat contigo mismo: /owner {code} (vale una vez, y hasta que {name} se inicie de nuevo)",
    "owner_code_void": "Se han enviado cinco códigos de dueño equivocados, y el código ya no vale; para tener otro, "
    "inicia {name} de nuevo.",
    "owner_code_seen": "El código del dueño se ha enviado donde otros pueden leerlo, y ya no vale; para tener otro, "
    "inicia {name} de nuevo.",
    "owner_welcome": "Ahora eres mi dueño. Lo que debas saber de mí llegará aquí, y aquí acepto tus órdenes: envía "
    "/help para ver la lista.",
    "help_owner": """Tus órdenes, solo en este chat:
/allow 3: dejar entrar al chat número 3
/deny 3: dejar fuera al chat número 3
/chats: los chats que conozco, con sus números
/forget 3: borrar el chat número 3: sus mensajes, sus archivos y lo que recuerdo de él
/dead: lo que he dejado por imposible; /dead retry m3 intenta m3 otra vez, /dead drop m3 lo da por terminado
/login: iniciar sesión en mi cuenta con un código; /login work, en la cuenta que se llama así
/status: cómo está todo""",
    "owner_how": "Escríbelo así: {how}",
    "owner_error": "No ha podido ser: {cause}",
    "owner_more": "… y {rest} más",
    "owner_unknown_chat": "Me ha escrito un chat que no conozco: número {number}, «{name}» ({kind}, {chat}). "
    "Personas: {people}. Para dejarlo entrar: /allow {number}. Para dejarlo fuera: /deny {number}.",
    "owner_allowed": "El chat {number}, «{name}», puede entrar.",
    "owner_denied": "El chat {number}, «{name}», queda fuera.",
    "owner_toml_decides": "nanokimi.toml deja entrar al chat {number}, «{name}», y es el que decide; para cambiarlo, "
    "cámbialo allí.",
    "owner_no_such_chat": "No conozco ningún chat «{chat}»; /chats da la lista.",
    "owner_chats": "Chats que conozco: {count}",
    "owner_chats_line": "{number}: «{name}» ({kind}, {chat}), {state}; en espera: {waiting}",
    "owner_chats_none": "Aún no conozco ningún chat.",
    "chat_allowed": "puede entrar",
    "chat_denied": "queda fuera",
    "chat_undecided": "lo que diga nanokimi.toml",
    "owner_status": "{name}, NanoKimi {version}. Chats: {chats}; agentes activos: {warm}; turnos en curso: {turns}; "
    "mensajes en espera: {waiting}; por enviar: {owed}; dejados por imposibles: {dead}.",
    "owner_status_instance": "{name} ({kind}): {state}",
    "owner_status_error": "{name} ({kind}): {state}; último error: {cause}",
    "owner_status_account": "cuenta {name}: {state}{remedy}",
    "owner_status_serves": "cuenta {name}: es la que se usa ahora; chats: {count}",
    "owner_status_chats": "cuenta {name}; chats: {count}",
    "owner_status_login": "cuenta {name}: espera a que se introduzca su código, hasta las {until}",
    "owner_status_quota": "cuenta {name}, {quota}: {figures}",
    "owner_status_quota_low": "ATENCIÓN, casi agotado: cuenta {name}, {quota}: {figures}",
    "quota_used": "{used} % gastado",
    "quota_left": "quedan {left}",
    "quota_resets": "{figures}; entero otra vez el {until}",
    "owner_status_held": "{chat} espera a que pase esto: {cause}; próximo intento {later}",
    "owner_status_problem": "por arreglar: {cause}",
    "instance_starting": "arrancando",
    "instance_running": "en marcha",
    "instance_waiting": "a la espera de arrancar de nuevo",
    "instance_ended": "terminado",
    "instance_failed": "averiado",
    "account_ok": "en orden",
    "account_expiring": "caduca pronto",
    "account_login_needed": "hay que iniciar sesión",
    "account_rejected": "ha sido rechazada",
    "account_out_of_quota": "está agotada",
    "account_unknown": "no se puede consultar",
    "owner_dead": "Dejados por imposibles: {count} (/dead retry m3 intenta m3 otra vez, /dead drop m3 lo da por "
    "terminado)",
    "owner_dead_line": "{id} en {chat}: «{excerpt}»: {cause}; intentos: {attempts}",
    "owner_dead_none": "No he dejado nada por imposible.",
    "owner_revived": "{id} se intenta otra vez.",
    "owner_dropped": "{id} queda terminado para siempre.",
    "owner_no_such_letter": "No he dejado por imposible nada con el id «{id}»; /dead da la lista.",
    "owner_forgot": "El chat {number}, «{name}», está borrado; mensajes: {count}.",
    "owner_login_lost": "Mi cuenta {name} ya no me deja entrar; lo que me escriben queda guardado hasta que me deje. "
    "Para iniciar sesión:",
    "owner_login_wanted": "Para iniciar sesión en {name}:",
    "owner_login_code": """abre esta página en cualquier dispositivo

{url}

e introduce este código

{code}

Vale hasta las {until}. Para otro después: /login {name}""",
    "owner_login_older": "Un código anterior ya no vale.",
    "owner_login_asked": "Estoy pidiendo un código para {name}; llegará aquí en un momento.",
    "owner_login_fine": "{name} me deja entrar; una sesión nueva sustituye a la anterior. Estoy pidiendo un código; "
    "llegará aquí en un momento.",
    "owner_login_done": "He iniciado sesión en {name}. Ahora respondo a lo que esperaba por eso.",
    "owner_login_done_as": "He iniciado sesión en {name} como {who}. Ahora respondo a lo que esperaba por eso.",
    "owner_login_new": "He iniciado sesión en {name}; la sesión nueva ha sustituido a la anterior.",
    "owner_login_new_as": "He iniciado sesión en {name} como {who}; la sesión nueva ha sustituido a la anterior.",
    "owner_login_models": "Sus modelos: {models}",
    "owner_login_works": "{name} me deja entrar otra vez; un código que he mandado para ella ya no vale.",
    "owner_login_expired": "El código para {name} ha caducado. Para uno nuevo: /login {name}",
    "owner_login_failed": "No hay sesión nueva en {name}: {cause}. Para intentarlo otra vez: /login {name}",
    "owner_login_void": "El código para {name} ya no vale, porque se ha vuelto a leer nanokimi.toml. Para uno nuevo: "
    "/login {name}",
    "owner_login_terminal": "{name} ya no me deja entrar, y no hay chat del dueño al que mandar un código; en un "
    "terminal: nanokimi auth login {name}",
    "owner_login_console": "{name} ya no me deja entrar; para que inicie sesión, escribe /login {name} en nanokimi "
    "chat, o en un terminal: nanokimi auth login {name}",
    "owner_login_not_by_code": "En {name} no se inicia sesión con un código.",
    "owner_login_by_key": "Guarda su clave en un terminal de mi máquina, nunca en un chat: nanokimi auth set-key "
    "--plugin {name}",
    "owner_login_by_file": "Trae el archivo de una sesión en un terminal de mi máquina: nanokimi auth import FILE "
    "--plugin {name}",
    "owner_held": "En {chat} se guardan los mensajes sin responder hasta que pase esto: {cause}{remedy}",
    "owner_held_over": "Ya ha pasado, y los mensajes de {chat} vuelven a tener respuesta.",
    "owner_account_fell": "Mi cuenta {id} no se puede usar, y paga {other} hasta que se pueda: {cause}{remedy}",
    "owner_account_login": "Para iniciar sesión en ella con un código que llega aquí: /login {id}",
    "owner_account_back": "Mi cuenta {id} vuelve a funcionar y paga desde ahora.",
    "owner_gave_up": "Un mensaje de {chat} se ha dejado por imposible: {cause}; para intentarlo otra vez: /dead retry "
    "{id}",
    "owner_undelivered": "Una respuesta para {chat} no se ha podido entregar: {cause}; para intentarlo otra vez: "
    "/dead retry {id}",
    "owner_plugin_says": "{plugin}: {text}",
    "owner_store": "No puedo escribir en mi disco y no acepto mensajes hasta que pueda: {cause}{remedy}",
    "owner_senders": "Nadie puede hablar donde no se puede leer una lista de remitentes: {cause}",
}
